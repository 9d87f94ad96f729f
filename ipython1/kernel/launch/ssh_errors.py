"""What ssh says when it fails, in words that name the host and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ipython1.kernel.launch.ssh_command import MISSING, NEEDED, TOO_OLD, SshSettings

SSH_FAILED = 255
"""The exit status with which ssh says that it failed itself."""
_CANNOT = r"[Nn]o such file|not found|[Uu]nknown command|cannot execute|[Pp]ermission denied\.?$"


def login(settings: SshSettings, host: str) -> str:
    """The command with which a person would log in to `host` in the same way."""
    config = f" -F {settings.config}" if settings.config else ""
    return f"{settings.program}{config} {host}"


def no_program(program: str) -> str:
    """There is no ssh here."""
    return (
        f"there is no program {program!r}, which is needed to start something on other hosts: install the OpenSSH"
        " client, or name another one with --ssh"
    )


def too_late(settings: SshSettings, host: str) -> str:
    """Nothing has come from the other end in time."""
    return (
        f"{host} has accepted the connection, but nothing was started there within {settings.start_timeout:g} s:"
        f" does `{login(settings, host)} true` return? A start-up file of the shell there may wait for something"
    )


def explain(settings: SshSettings, host: str, status: int | None, said: Sequence[str]) -> str:
    """Why nothing was started on `host`, when ssh ended with `status` (None for a signal) and had `said` that."""
    text = "\n".join(said)
    by_hand = login(settings, host)
    for pattern, why in _REASONS:
        match = re.search(pattern, text, re.MULTILINE)
        if match:
            found = match.groups()[-1] if match.groups() else ""
            return why.format(
                host=host,
                name=host.rpartition("@")[2],
                python=settings.python,
                login=by_hand,
                timeout=f"{settings.connect_timeout:g}",
                needed="{}.{}".format(*NEEDED),
                found=found,
            )
    if status != SSH_FAILED and re.search(_CANNOT, text, re.MULTILINE):
        return (
            f"{host} has no Python at {settings.python!r} ({_last(said)}): say with --python where it is, as the"
            " login shell there finds no other programs than it finds without a terminal"
        )
    how = "was killed" if status is None else f"ended with status {status}"
    return f"nothing could be started on {host}: ssh {how} ({_last(said)}); does `{by_hand} true` work?"


def lost(host: str, status: int | None, said: Sequence[str]) -> str:
    """How the connection ended, to complete "it has ended (...)"."""
    detail = f": {_last(said)}" if said else ""
    how = "ssh was killed" if status is None else "the connection was lost"
    return f"{how}, to {host}{detail}; what runs there ends by itself"


def _last(said: Sequence[str]) -> str:
    return said[-1][:300] if said else "it said nothing"


# The first that fits counts. ssh says some of them one after the other, and a shell may quote our own program.
_REASONS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key of {host} is not the one that is known: somebody may be posing as that host. If the host was"
        " set up anew, remove the old key with `ssh-keygen -R {name}` and log in once with `{login}`",
    ),
    (
        r"Host key verification failed",
        "the host key of {host} is not known here: log in once with `{login}`, compare the key that is shown, and"
        " accept it",
    ),
    (
        r"Permission denied \(([^)]*)\)|Too many authentication failures|no mutual signature",
        "{host} refuses the login: it accepts no key that ssh has, and a password cannot be asked for. Load the key"
        " into the agent with ssh-add, put it there with `ssh-copy-id {host}`, or say in ssh's configuration which one"
        " and which user; `{login} true` must work without a question",
    ),
    (
        r"Could not resolve hostname",
        "there is no host {host}, as far as names can be resolved here: is it spelled right? An address, or a name"
        " that ssh's configuration knows, can be used as well",
    ),
    (
        r"Connection refused",
        "{host} refuses the connection: no ssh server is running there, or on another port, which can be named in"
        " ssh's configuration",
    ),
    (
        r"timed out|timeout",
        "{host} does not answer within {timeout} s: is it running, and does no firewall stand between? More time can be"
        " given with --connect-timeout",
    ),
    (
        r"(No route to host|Network is unreachable)",
        "{host} cannot be reached from here ({found}): is there a network, and is the host running?",
    ),
    (
        r"(Bad configuration option.*|Can't open user config file.*|terminating, .* bad configuration.*)",
        "ssh does not accept its configuration ({found}): correct it, or name another file with --ssh-config",
    ),
    (
        r"(kex_exchange_identification.*|Connection closed by .*|Connection reset by .*)",
        "{host} has closed the connection before the login ({found}): does it allow so many logins at once (MaxStartups"
        " of its sshd), and from here?",
    ),
    (
        rf"^{TOO_OLD} ([\d.]+)$",
        "the Python of {host}, {python}, is {found}, and ipython1 needs {needed} or newer: say with --python where a newer"
        " one is",
    ),
    (
        rf"^{MISSING}$",
        "the Python of {host}, {python}, has no ipython1: install it there, or say with --python where a Python is that"
        " has it",
    ),
    (
        r"No module named '?(ipython1\.[\w.]+)",
        "the ipython1 of {host}, for the Python {python}, is too old ({found} is missing): install the version that runs"
        " here",
    ),
    (
        r"No module named '?([\w.]+)",
        "the Python of {host}, {python}, lacks {found}, which ipython1 needs: install ipython1 there with all that it needs",
    ),
)
