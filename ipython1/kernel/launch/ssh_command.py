"""What is typed, so to say, to start something over ssh.

The shell at the other end may be any: what it gets to read is the path of a Python and a fixed program of plain
characters in single quotes, which mean the same to sh, bash, zsh, fish and csh.  All else, with whatever characters,
goes through the standard input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipython1.kernel.config.settings import (
    REMOTE_PYTHON,
    SILENCE,
    SSH,
    SSH_CONFIG,
    SSH_CONNECT_TIMEOUT,
    SSH_START_TIMEOUT,
)
from ipython1.kernel.error import ConfigError

NEEDED = (3, 11)
"""The oldest Python that ipython1 runs on."""
TOO_OLD = "ipython1-needs-another-python"
MISSING = "ipython1-is-missing"
# Compiles on every Python, also on Python 2, and has neither single quotes nor exclamation marks, nor line ends.
PROGRAM = (
    "import sys; v = sys.version_info[:2]; "
    f'v < {NEEDED} and sys.exit("{TOO_OLD} %d.%d" % v); '
    "from importlib.util import find_spec; "
    f'find_spec("ipython1") or sys.exit("{MISSING}"); '
    "from ipython1.kernel.launch.guard import main; sys.exit(main())"
)
CONFIGURED = (
    # Nothing can be asked here.
    ("BatchMode", "yes"),
    # These may stand in the user's configuration for logins by hand, and would be in the way.
    ("ClearAllForwardings", "yes"),
    ("RemoteCommand", "none"),
    ("RequestTTY", "no"),
    # An existing connection may be shared, but ours must not become one that stays.
    ("ControlMaster", "no"),
    # No banner: what ssh says is to be errors.
    ("LogLevel", "ERROR"),
)


@dataclass(frozen=True)
class SshSettings:
    """How to log in, and how that is seen to have failed; times in seconds."""

    program: str = SSH.default
    config: str = SSH_CONFIG.default
    python: str = REMOTE_PYTHON.default
    connect_timeout: float = SSH_CONNECT_TIMEOUT.default
    start_timeout: float = SSH_START_TIMEOUT.default
    silence: float = SILENCE.default


def check_host(host: str) -> str:
    """`host`, as ssh takes it (a name of its configuration, ``user@host``, ``ssh://user@host:port``); ConfigError."""
    if not host or host.startswith("-") or re.search(r"[\s\x00-\x1f\x7f]", host):
        raise ConfigError(f"{host!r} is no host: a name or address as for ssh is needed, such as 'node1'")
    return host


def ssh_arguments(settings: SshSettings, host: str) -> list[str]:
    """The command line that starts a guard on `host`."""
    timeout = max(1, round(settings.connect_timeout))
    # A network that is gone is noticed here as it is noticed there.
    alive = max(1, round(settings.silence / 4))
    options = (
        *CONFIGURED,
        ("ConnectTimeout", str(timeout)),
        ("ServerAliveInterval", str(alive)),
        ("ServerAliveCountMax", "3"),
    )
    config = ["-F", settings.config] if settings.config else []
    named = [part for name, value in options for part in ("-o", f"{name}={value}")]
    return [settings.program, *config, *named, "--", host, remote_command(settings.python)]


def remote_command(python: str) -> str:
    """What the login shell gets to run."""
    return f"exec {quoted_path(python)} -c '{PROGRAM}'"


def quoted_path(path: str) -> str:
    """A path for every shell; a ~ at its beginning stays what it is."""
    home, slash, rest = path.partition("/")
    if slash and re.fullmatch(r"~[\w.-]*", home):
        return f"{home}/{_quoted(rest)}"
    return _quoted(path)


def _quoted(text: str) -> str:
    # A backslash before each character that any shell may take for more than itself, outside of all quotes: within
    # quotes, csh and fish do not agree with sh about what ! and \\ are. Letters, of any script, are left alone.
    return re.sub(r"[^\w@%+=:,./-]", lambda special: "\\" + special[0], text)
