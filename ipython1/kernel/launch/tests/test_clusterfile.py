"""Cluster files, in both spellings, and what is said of wrong ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.error import ConfigError
from ipython1.kernel.launch.clusterfile import ClusterFile, parse_cluster_file
from ipython1.kernel.launch.values import Share

OLD = """\
controller = dict(host='myhost',
                  engine_port=None, # default is 10105
                  control_port=None,
                )

# keys are hostnames, values are the number of engine on that host
engines = dict(node1=2,
               node2=2,
               node3=2,
               node3=2,
               )
"""
NEW = """\
send_furl = True
engines = { 'host1.example.com' : 2,
            'me@host2.example.com' : 5,
            'localhost': 1 }
"""


def parse(text: str) -> ClusterFile:
    return parse_cluster_file(text, "cf.py")


class RightTests(SynchronousTestCase):
    """What files mean."""

    def test_old(self) -> None:
        """The form of 2008; a host that is named twice has the engines of both places."""
        expected = ClusterFile((Share("node1", 2), Share("node2", 2), Share("node3", 4)), "myhost")
        self.assertEqual(parse(OLD), expected)

    def test_new(self) -> None:
        """The form of IPython 0.10; localhost is this host."""
        shares = (Share("host1.example.com", 2), Share("me@host2.example.com", 5), Share("", 1))
        self.assertEqual(parse(NEW), ClusterFile(shares, send_furl=True))

    def test_controller(self) -> None:
        """Options of the controller."""
        text = "controller = {'host': 'localhost', 'port': 10105, 'location': 'gate'}\nengines = {'a': 1}"
        expected = ClusterFile((Share("a", 1),), "", ("--port=10105", "--location=gate"))
        self.assertEqual(parse(text), expected)

    @given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True), st.integers(1, 99), min_size=1))
    def test_all_hosts(self, engines: dict[str, int]) -> None:
        """What is written is what is read, in the order of the file."""
        engines.pop("localhost", None)
        if engines:
            expected = tuple(Share(host, number) for host, number in engines.items())
            self.assertEqual(parse(f"engines = {engines!r}").shares, expected)


class WrongTests(SynchronousTestCase):
    """Each text has file and line."""

    def wrong(self, text: str, expected: str, line: int = 1) -> None:
        problem = self.assertRaises(ConfigError, parse, text)
        self.assertTrue(str(problem).startswith(f"cf.py, line {line}: "), problem)
        self.assertIn(expected, str(problem))

    def test_not_run(self) -> None:
        """Nothing in the file is executed."""
        self.wrong("engines = {'a': 1}\nimport os", "only assignments", 2)
        self.wrong("engines = {'a': int('1')}", "int('1') is no plain value")
        self.wrong("engines = dict(a=open('x'))", "is no plain value")
        self.wrong("engines = {**{}}", "** cannot be used")
        self.wrong("engines = dict(**{})", "** cannot be used")
        self.wrong("engines['a'] = 1", "only assignments")
        self.wrong("a = b = 1", "only assignments")

    def test_syntax(self) -> None:
        """No Python."""
        self.wrong("\nengines = {'a': 1", "was never closed", 2)
        self.wrong("engines\0", "null bytes")
        self.wrong("engines = " + "(" * 10_000, "")
        self.wrong("engines = " + "-" * 100_000 + "1", "")

    def test_names(self) -> None:
        """Names that are unknown, gone, missing, or there twice."""
        self.wrong("engines = {'a': 1}\nengine = 1", "engine is unknown: expected are engines, controller", 2)
        self.wrong("\nsshx = 'x'\nengines = {'a': 1}", "sshx: there is no helper script any more: say --python", 2)
        self.wrong("send_furl = True", "engines is missing")
        self.wrong("engines = {'a': 1}\nengines = {'b': 1}", "engines has a value already, in line 1", 2)

    def test_engines(self) -> None:
        """Hosts and numbers."""
        self.wrong("engines = 4", "engines must be a dict")
        self.wrong("engines = {}", "engines names no host")
        self.wrong("engines = {'a': 1,\n'b': 0}", "b: 0 is no number of engines", 2)
        self.wrong("engines = {'a': True}", "a: True is no number of engines")
        self.wrong("engines = {'a': {'b': 1}}", "a: a dict is no number of engines")
        self.wrong("engines = {1: 1}", "a host must be text")
        for host in ("", "-oProxyCommand=x", "a b", "a\\n", "a\\0"):
            self.wrong(f"engines = {{'{host}': 1}}", "is no host")

    def test_controller(self) -> None:
        """What the controller has no use for."""
        rest = "\nengines = {'a': 1}"
        self.wrong(f"controller = 'a'{rest}", "controller must be a dict")
        self.wrong(f"controller = dict(hosts='a'){rest}", "'hosts' is unknown: expected are host, port")
        self.wrong(f"controller = dict(host='a',\nengine_port=1){rest}", "engine_port: one port serves", 2)
        self.wrong(f"controller = dict(port='1'){rest}", "port must be a number")
        self.wrong(f"controller = dict(host=1){rest}", "host must be text")
        self.wrong(f"controller = dict(host={{}}){rest}", "host must be text")

    def test_send_furl(self) -> None:
        """It is true or false."""
        self.wrong("engines = {'a': 1}\nsend_furl = 1", "send_furl must be True or False", 2)
