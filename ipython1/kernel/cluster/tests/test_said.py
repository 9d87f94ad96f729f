"""What is told to ipcluster, and what is made of what it says."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.cluster.operations import Operations
from ipython1.kernel.cluster.options import start_options
from ipython1.kernel.cluster.said import Said, start_error
from ipython1.kernel.error import ClusterError, ClusterRunning, ConfigError
from ipython1.kernel.scripts.ipcluster_common import FAILED, RUNNING, WRONG


class OptionTests(SynchronousTestCase):
    def test_names_and_values(self) -> None:
        """Options are those of the command, by their names."""
        given = {"ssh_config": Path("/c"), "host": ["a=1", "b=2"], "port": 0, "reuse_furls": True, "location": None}
        self.assertEqual(
            start_options(4, "ssh", given),
            ["--launcher=ssh", "--num=4", "--ssh-config=/c", "--host=a=1", "--host=b=2", "--port=0", "--reuse-furls"],
        )
        self.assertEqual(start_options(None, None, {"reuse_furls": False}), ["--no-reuse-furls"])

    def test_wrong(self) -> None:
        """What can be no option is refused before anything is started."""
        for wrong in ({"port": [[1]]}, {"location": object()}, {"daemonize": True}, {"num": 3}):
            self.assertRaises(ConfigError, start_options, 1, None, wrong)
        for number in ("4", True, [], 1.0):
            self.assertRaises(ConfigError, start_options, number, None, {})
        self.assertRaises(ConfigError, Operations, cluster_id="../x")

    def test_names_differ(self) -> None:
        """Without a name a cluster gets one of its own."""
        self.assertNotEqual(Operations().cluster_id, Operations().cluster_id)


class SaidTests(SynchronousTestCase):
    def test_ready(self) -> None:
        """It is ready when the status is there, which says that all went well."""
        said = Said()
        for piece in (b"Starting\n", "été\n".encode()[:2], "été\n".encode()[2:], b"\0"):
            said.add(piece)
            self.assertFalse(said.is_ready)
        said.add(b"0")
        self.assertTrue(said.is_ready)
        self.assertEqual(said.text, "Starting\nété\n")

    def test_errors(self) -> None:
        """The error is what ipcluster has said, with what its parts have said before."""
        for text, status, kind, expected in (
            ("usage: x\nipcluster start: error: bad\n", WRONG, ConfigError, "bad"),
            ("ipcluster: cluster 'a' runs\n", RUNNING, ClusterRunning, "cluster 'a' runs"),
            (
                "Starting a controller and 1 engine ...\nipcontroller: no\nipcluster: it failed\n    why\n",
                FAILED,
                ClusterError,
                "it failed\n        why\n    ipcontroller: no",
            ),
            ("ipengine: why\n\x01ipcluster: it failed: why\n", FAILED, ClusterError, "it failed: why"),
            ("Traceback\n", FAILED, ClusterError, "the cluster could not be started.*status 1.*\n    Traceback"),
        ):
            said = Said()
            said.add(text.encode())
            problem = start_error(said.text, status)
            self.assertIs(type(problem), kind)
            self.assertRegex(str(problem), f"^{expected}$")
