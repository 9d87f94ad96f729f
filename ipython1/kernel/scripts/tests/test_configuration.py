"""What the commands, and clients, make of the configuration."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from ipython1.config.setting import DEFAULT
from ipython1.kernel.asyncclient import get_task_client
from ipython1.kernel.client import MultiEngineClient, TaskClient
from ipython1.kernel.config import config_manager
from ipython1.kernel.config.settings import (
    CONFIRM_TIMEOUT,
    CONNECT_TIMEOUT,
    KEPT_TASK_RESULTS,
    KERNEL,
    LOCATION,
    PORT,
    REUSE_FURLS,
)
from ipython1.kernel.controller.config import READY
from ipython1.kernel.error import ConfigError
from ipython1.kernel.furl import prepare_security_dir, write_private
from ipython1.kernel.places import Places, find_places
from ipython1.kernel.scripts import ipcluster, ipcontroller, ipengine
from ipython1.kernel.scripts.ipcluster_common import WRONG
from ipython1.kernel.scripts.ipcluster_start import passed_on
from ipython1.kernel.scripts.options import configured
from ipython1.kernel.task_session import task_connection
from ipython1.kernel.tests.program import Program, asynchronous

FURL = "pb://abcdefghijklmnopqrstuvwxyz234567@127.0.0.1:1/secret"


class ConfiguredCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.patch(os, "environ", {**os.environ, "IPYTHONDIR": str(self.folder)})

    def write(self, text: str, profile: str = "") -> Path:
        folder = self.folder / profile
        folder.mkdir(exist_ok=True)
        path = folder / "ipython1.kernel.ini"
        path.write_text(text)
        return path

    def outcome(self, call: Callable[..., Any], *arguments: Any) -> tuple[int, str, str]:
        """The status with which a command ends, and what it says, to stdout and to stderr."""
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                status = call(*arguments)
            except SystemExit as end:
                status = end.code
        return status, said.getvalue(), complained.getvalue()


class TableTests(ConfiguredCase):
    """The settings themselves."""

    def test_defaults(self) -> None:
        """The default of each setting is a value that can be set, as text and in a file."""
        for setting in KERNEL:
            self.assertEqual(setting.read(setting.text(setting.default)), setting.default)
        path = self.write("")
        config_manager.write_config_obj_to_file(path)
        lines = [
            line[1:] if line[:1] == "#" and line[1:2].isalpha() else line
            for line in path.read_text().split("\n")
        ]
        path.write_text("\n".join(lines))
        configuration = config_manager.configuration()
        for setting in KERNEL:
            self.assertEqual(configuration[setting], setting.default)
            self.assertIn(str(path), configuration.origin(setting))

    def test_described(self) -> None:
        """Each is described in sentences."""
        for setting in KERNEL:
            self.assertRegex(setting.doc, r"(?s)^[A-Z].*\.$")


class CommandTests(ConfiguredCase):
    """The options of commands."""

    def test_order(self) -> None:
        """Defaults < file < environment < command line."""
        self.assertEqual(ipcontroller.parse([]).controller.port, 0)
        self.write(
            "[controller]\nport = 1\nlocation = a.example, 10.0.0.1\nkept_task_results = 7\nreuse_furls = yes\n"
        )
        config = ipcontroller.parse([]).controller
        self.assertEqual(
            (config.port, config.location, config.kept_task_results, config.reuse_furls),
            (1, "a.example,10.0.0.1", 7, True),
        )
        os.environ["IPYTHON1_CONTROLLER_PORT"] = "2"
        self.assertEqual(ipcontroller.parse([]).controller.port, 2)
        config = ipcontroller.parse(["--port", "3", "--no-reuse-furls", "--location", ""]).controller
        self.assertEqual((config.port, config.location, config.reuse_furls), (3, "", False))

    def test_origins(self) -> None:
        """It is known where each comes from."""
        path = self.write("[engine]\ntimeout = 5\n")
        os.environ["IPYTHON1_LOG_COUNT"] = "2"
        settings = ipengine.parse(["-n", "4"]).settings
        origins = {
            setting.name: settings.origin(setting)
            for setting in KERNEL
            if settings.origin(setting) != DEFAULT
        }
        self.assertEqual(
            origins,
            {
                "engine.num": "option --num",
                "engine.timeout": f"{path}, line 2",
                "log.count": "environment variable IPYTHON1_LOG_COUNT",
            },
        )

    def test_profile(self) -> None:
        """A profile has a file of its own, and not that of the ipython directory."""
        self.write("[controller]\nport = 1\ninterface = ::1\n")
        self.write("[controller]\nport = 2\n", "profile_lab")
        config = ipcontroller.parse(["--profile", "lab", "--cluster-id", "b"])
        self.assertEqual((config.controller.port, config.controller.interface), (2, ""))
        self.assertEqual(config.logfile, self.folder / "profile_lab" / "log" / "b" / "ipcontroller.log")

    def test_passed_on(self) -> None:
        """What ipcluster finds for other commands is told to them, wherever they run."""
        self.write("[controller]\nport = 1\nreuse_furls = yes\n")
        os.environ["IPYTHON1_ENGINE_MEMORY_LIMIT"] = "4G"
        options = ipcluster.parse(["--location", "a,b", "--no-reuse-furls"])
        settings = configured(options.parser, options, options.places)
        self.assertEqual(
            passed_on("controller", settings), ("--port=1", "--location=a,b", "--no-reuse-furls")
        )
        self.assertEqual(passed_on("engine", settings), ("--memory-limit=4G",))

    def test_broken(self) -> None:
        """From each command a broken file gets one message, which names file, line and remedy, and the status 2."""
        path = self.write("[controller]\nprot = 1\n")
        message = f"{path}, line 2: there is no setting 'prot' in [controller]; did you mean 'port'?\n"
        for program, call, argv in (
            ("ipcontroller", ipcontroller.main, []),
            ("ipengine", ipengine.main, []),
            ("ipcluster", ipcluster.main, ["-n", "2"]),
            ("ipcluster", ipcluster.main, ["local"]),
            ("ipcluster", ipcluster.main, ["start", "--daemonize"]),
            ("ipcluster", ipcluster.main, ["config"]),
            ("ipcluster", ipcluster.main, ["config", "--json"]),
        ):
            self.assertEqual(self.outcome(call, argv), (WRONG, "", f"{program}: {message}"))
        self.assertEqual(list(self.folder.iterdir()), [path])

    def test_broken_environment(self) -> None:
        """So does a broken environment."""
        os.environ["IPYTHON1_ENGINE_TIMEOUT"] = "soon"
        status, _, complained = self.outcome(ipengine.main, [])
        self.assertEqual(status, WRONG)
        self.assertEqual(
            complained,
            "ipengine: environment variable IPYTHON1_ENGINE_TIMEOUT: 'soon' is no number of seconds: 0 or more\n",
        )


class ConfigTests(ConfiguredCase):
    """ipcluster config."""

    def test_json(self) -> None:
        """For programs: each setting with its value and its origin."""
        path = self.write("[controller]\nport = 1\nlocation = a,b\n")
        status, said, _ = self.outcome(ipcluster.main, ["config", "--json"])
        plain = json.loads(said)
        self.assertEqual((status, plain["file"], plain["exists"]), (0, str(path), True))
        found = {setting["name"]: setting for setting in plain["settings"]}
        self.assertEqual(list(found), [setting.name for setting in KERNEL])
        self.assertEqual(
            found[PORT.name],
            {
                "name": "controller.port",
                "value": 1,
                "origin": f"{path}, line 2",
                "default": 0,
                "type": "port",
                "unit": "",
                "variable": "IPYTHON1_CONTROLLER_PORT",
                "options": ["--port"],
                "doc": PORT.doc,
            },
        )
        self.assertEqual(found[LOCATION.name]["value"], ["a", "b"])
        self.assertEqual(
            (found[REUSE_FURLS.name]["value"], found[REUSE_FURLS.name]["origin"]), (False, DEFAULT)
        )

    def test_shown(self) -> None:
        """For people: a line for each setting, and the file."""
        path = self.write("[controller]\nport = 1\n")
        _, said, _ = self.outcome(ipcluster.main, ["config"])
        self.assertRegex(said, r"\ncontroller\.port +1 +the file, line 2 *\n")
        self.assertRegex(said, r"\nengine\.timeout +60 +seconds +default")
        self.assertIn(f"The configuration file is {path}.\n", said)
        path.unlink()
        _, said, _ = self.outcome(ipcluster.main, ["config"])
        self.assertIn(f"{path} (there is none; ipcluster config --write makes one).", said)

    def test_write(self) -> None:
        """A file is written, for a profile in its folder, and only once."""
        for options, folder in (([], self.folder), (["--profile", "lab"], self.folder / "profile_lab")):
            path = folder / "ipython1.kernel.ini"
            outcomes = [self.outcome(ipcluster.main, ["config", "--write", *options]) for _ in range(2)]
            self.assertEqual([status for status, _, _ in outcomes], [0, 0])
            self.assertIn(f"was written: {path}", outcomes[0][1])
            self.assertIn(f"already: {path}", outcomes[1][1])
            self.assertIn("#port = 0\n", path.read_text())

    def test_cannot_write(self) -> None:
        """A folder that cannot be made is one message and the status 2."""
        status, _, complained = self.outcome(
            ipcluster.main, ["config", "--write", "--ipython-dir", "/proc/none"]
        )
        self.assertEqual(status, WRONG)
        self.assertIn("ipcluster: cannot write /proc/none/ipython1.kernel.ini: ", complained)


class ClientTests(ConfiguredCase):
    """Clients."""

    def test_broken(self) -> None:
        """A broken file is a ConfigError."""
        path = self.write("[client]\nconnect_timeout = soon\n")
        for face in (MultiEngineClient, TaskClient):
            error = self.assertRaises(ConfigError, face, FURL)
            self.assertEqual(
                str(error),
                f"{path}, line 2: client.connect_timeout: 'soon' is no number of seconds: 0 or more",
            )
        self.failureResultOf(get_task_client(FURL), ConfigError)

    def test_profile(self) -> None:
        """It is the profile's file that counts for a client of a profile."""
        path = self.write("broken", "profile_lab")
        places = find_places(profile="lab")
        prepare_security_dir(places)
        for role, face in (("multiengine", MultiEngineClient), ("task", TaskClient)):
            write_private(places.furl_file(role), FURL)
            error = self.assertRaises(ConfigError, face, profile="lab")
            self.assertIn(f"{path}, line 1: ", str(error))

    def test_settings(self) -> None:
        """What is set is what they do."""
        self.write("[client]\nconnect_timeout = 1.5\nconfirm_timeout = 0\n")
        timeouts = []

        async def dial(furl: str, role: str, receiver: Any, *, timeout: float, **_: Any) -> Any:
            timeouts.append(timeout)
            return SimpleNamespace(peer={}, keep_in=lambda new_keeping: None)

        connection = task_connection(FURL, None, dial, config_manager.configuration())
        from twisted.internet.defer import Deferred

        session = self.successResultOf(Deferred.fromCoroutine(connection.connect()))
        self.assertEqual((timeouts, session.leave_within), ([1.5], 0.0))
        self.assertEqual((CONNECT_TIMEOUT.default, CONFIRM_TIMEOUT.default), (20.0, 10.0))


class ProcessTests(TestCase):
    """The whole way, with processes."""

    timeout = 180

    @asynchronous
    async def test_kept_task_results(self) -> None:
        """A controller keeps as many results as the file says."""
        folder = Path(self.mktemp()).absolute()
        places = Places(folder)
        folder.mkdir()
        (folder / "ipython1.kernel.ini").write_text(
            f"[controller]\ninterface = 127.0.0.1\n{KEPT_TASK_RESULTS.key} = 2\n[store]\nurl = memory\n[engine]\ntimeout = 30\n"
        )
        controller = Program(
            self,
            sys.executable,
            "-m",
            "ipython1.kernel.scripts.ipcontroller",
            "--engines",
            "1",
            *places.options(),
        )
        await controller.said(READY)
        self.assertIn("of 127.0.0.1", controller.output)
        source = (
            "from ipython1.kernel import client\n"
            "tc = client.TaskClient()\n"
            "ids = [tc.run(client.StringTask('a = 5')) for _ in range(3)]\n"
            "tc.barrier(ids)\n"
            "kept = [tc.get_task_result(each).taskid for each in ids[1:]]\n"
            "assert kept == ids[1:], kept\n"
            "try:\n"
            "    tc.get_task_result(ids[0])\n"
            "except (IndexError, KeyError, client.KernelError) as problem:\n"
            "    print('gone:', problem)\n"
        )
        user = Program(self, sys.executable, "-c", source, environment={"IPYTHONDIR": str(folder)})
        self.assertEqual(await user.ended(), 0, user.output)
        self.assertIn("gone:", user.output)
