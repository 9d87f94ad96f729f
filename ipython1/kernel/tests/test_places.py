"""Where the files of a cluster are."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.error import ConfigError
from ipython1.kernel.furl import chosen_furl
from ipython1.kernel.places import Places, find_ipython_dir, find_places

GOOD = ("b", "B-2", "a.b_c", "7", "x" * 64)
BAD = ("", ".", "..", ".b", "-b", "a/b", "a b", "é", "a\n", "x" * 65, 5)


class PlacesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(os, "environ", {**os.environ, "IPYTHONDIR": "/somewhere"})

    def test_ipython_dir(self) -> None:
        """``$IPYTHONDIR`` moves the folder, and an option goes before it."""
        self.assertEqual(find_ipython_dir(), Path("/somewhere"))
        self.assertEqual(find_ipython_dir("/elsewhere"), Path("/elsewhere"))

    def test_default(self) -> None:
        """Unless a cluster is named, its folders are directly in the ipython directory."""
        places = find_places()
        self.assertEqual(places, Places(Path("/somewhere"), "default"))
        self.assertEqual(places.security_dir, Path("/somewhere/security"))
        self.assertEqual(places.log_dir, Path("/somewhere/log"))
        self.assertEqual(places.state_dir, Path("/somewhere/clusters/default"))
        self.assertEqual(places.furl_file("task"), Path("/somewhere/security/ipcontroller-tc.furl"))

    def test_named(self) -> None:
        """Those of another cluster have its name; a profile has a folder with all of them."""
        places = find_places("/d", "lab", "b")
        self.assertEqual(places.security_dir, Path("/d/profile_lab/security/b"))
        self.assertEqual(places.log_dir, Path("/d/profile_lab/log/b"))
        self.assertEqual(places.state_dir, Path("/d/profile_lab/clusters/b"))

    def test_copied_furl(self) -> None:
        """A FURL file that was copied to the ipython directory is that of the default cluster, and of no other."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        copied = folder / "ipcontroller-mec.furl"
        copied.write_text("")
        self.assertEqual(Places(folder).furl_file("multiengine"), copied)
        self.assertEqual(Places(folder, "b").furl_file("multiengine").parent, folder / "security" / "b")

    def test_names(self) -> None:
        """A name is a good name of a folder, or it is refused."""
        for name in GOOD:
            self.assertEqual(find_places(profile=name, cluster_id=name).cluster_id, name)
        for name in BAD:
            for option, what in (("profile", "a profile"), ("cluster_id", "a cluster")):
                error = self.assertRaises(ConfigError, find_places, **{option: name})
                self.assertIn(f"cannot be the name of {what}", str(error))
                self.assertIn(repr(name)[:20], str(error))

    def test_names_of_files(self) -> None:
        """A cluster is not called like a file that its folder would lie beside."""
        for name in ("ipcontroller-mec.furl", "ipcontroller.log", "IPengine", "ipcluster.log"):
            self.assertIn(repr(name), str(self.assertRaises(ConfigError, find_places, cluster_id=name)))

    def test_told_to_others(self) -> None:
        """Other commands and clients are told what leads them to the same places."""
        for arguments, options, typed, client in (
            ((), "/somewhere", "", ""),
            ((None, "lab"), "/somewhere/profile_lab", "--profile lab", "profile='lab'"),
            (
                (None, "lab", "b"),
                "/somewhere/profile_lab --cluster-id b",
                "--profile lab --cluster-id b",
                "profile='lab', cluster_id='b'",
            ),
            ((None, None, "b"), "/somewhere --cluster-id b", "--cluster-id b", "cluster_id='b'"),
            (
                ("/else", None, "b"),
                "/else --cluster-id b",
                "--ipython-dir /else --cluster-id b",
                "'/else/security/b/ipcontroller-mec.furl'",
            ),
            (("/somewhere/lab",), "/somewhere/lab", "--ipython-dir /somewhere/lab", None),
        ):
            places = find_places(*arguments)
            self.assertEqual(" ".join(places.options()), f"--ipython-dir {options}")
            self.assertEqual(" ".join(places.typed_options()), typed)
            if client is not None:
                self.assertEqual(places.client_arguments("multiengine"), client)


class ChosenTests(SynchronousTestCase):
    """What a client is told."""

    def setUp(self) -> None:
        self.patch(os, "environ", {**os.environ, "IPYTHONDIR": "/somewhere"})

    def test_furl_or_file(self) -> None:
        """A FURL or its file is taken as it is, and so is nothing."""
        for given in ("", "pb://x", Path("/x")):
            self.assertEqual(chosen_furl(given, "task", None, None), given)

    def test_names(self) -> None:
        """Names lead to a file."""
        self.assertEqual(
            chosen_furl("", "task", "lab", "b"), Path("/somewhere/profile_lab/security/b/ipcontroller-tc.furl")
        )

    def test_both(self) -> None:
        """One of the two is enough."""
        self.assertRaises(TypeError, chosen_furl, "x", "task", None, "b")

    def test_no_good_name(self) -> None:
        """A name that is no good one is a ConfigError."""
        self.assertRaises(ConfigError, chosen_furl, "", "task", None, "../b")
