"""What a way to start clusters has to offer, and how one is found by its name.

A package adds one of its own as an entry point of the group ``ipython1.launchers``, which names an object that provides
`ILauncherFactory`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from zope.interface import Attribute, Interface

from ipython1.kernel.error import LaunchError

GROUP = "ipython1.launchers"
OWN = {
    "local": "ipython1.kernel.launch.local:factory",
    "ssh": "ipython1.kernel.launch.ssh:factory",
}
"""Those of ipython1 itself, which are there without an installation too."""


class ILaunchObserver(Interface):
    """Is told what becomes of a launch."""

    def output(line: str) -> None:
        """The command has written a line, to standard output or standard error; never an empty one."""

    def changed(state: Any) -> None:
        """The launch has another `LaunchState`; 'ended' is the last one, and no output comes after it."""


class ILauncher(Interface):
    """Starts one launch, once."""

    def start() -> Any:
        """A Deferred that fires with None when the process or the job exists.

        It fails with `LaunchError`, the text of which says what was wrong, on which host, and what to do; then
        there is nothing to be stopped, and the state is 'ended'.
        """

    def stop(grace: float) -> Any:
        """A Deferred that fires with None when all that was started has ended.

        It is asked to end in good order, and killed after `grace` seconds; called again with a grace of 0, at once.
        May be called at any time, before the start and during it too (which fails then), and after the end.
        """

    def signal(number: int) -> Any:
        """A Deferred that fires with None when the signal was sent to the process, if that is still there."""

    def status() -> Any:
        """The `LaunchState`."""

    def observe(observer: Any) -> None:
        """Tell that `ILaunchObserver` of what comes from now on."""


class IPlan(Interface):
    """The parts of one cluster, and how each is started."""

    shares = Attribute("A `Share` for each host agent, in order.")

    def where(host: str | None) -> str:
        """The host for engines that are added to the cluster, on `host` or wherever (None).

        Raises `LaunchError` if there can be none on that host.
        """

    def controller(label: str) -> Any:
        """The `Launch` of the controller."""

    def agent(label: str, share: Any) -> Any:
        """The `Launch` of a host agent.  The controller is ready by then."""

    def launcher(reactor: Any, launch: Any) -> Any:
        """A new `ILauncher` for one of these."""


class IEarlyPlan(IPlan):
    """A plan whose agents can be started before the controller is ready, which saves time."""

    def early_agent(label: str, share: Any) -> Any:
        """The `Launch` of a host agent that waits for the controller.  Called before that is started."""


class ILauncherFactory(Interface):
    """A way to start clusters: ``ipcluster NAME``."""

    summary = Attribute("What it starts, for the help: 'a controller and engines on this host'.")

    def add_options(parser: Any) -> None:
        """Add its own options to an argparse parser."""

    def plan(wanted: Any, options: Any) -> Any:
        """The `IPlan` for what is `Wanted`, with the parsed options.

        Raises `ConfigError` if the options, or the files that they name, are wrong.
        """


def find_launcher(name: str) -> Any:
    """The `ILauncherFactory` of that name.

    Raises LookupError, with a text that has the names that there are, if there is none, and `LaunchError` if it cannot
    be loaded.
    """
    known = _known()
    if name not in known:
        names = ", ".join(launcher_names())
        raise LookupError(f"there is no launcher {name!r}: known are {names}")
    entry = known[name]
    try:
        factory = entry.load() if isinstance(entry, EntryPoint) else _load(entry)
    except Exception as problem:  # it is the code of others, and is imported here
        where = entry.value if isinstance(entry, EntryPoint) else entry
        raise LaunchError(
            f"the launcher {name!r} ({where}) cannot be loaded: {type(problem).__name__}: {problem}; correct or remove"
            " the package that it is from"
        ) from problem
    if not ILauncherFactory.providedBy(factory):
        raise LaunchError(f"the launcher {name!r} ({entry}) does not provide ILauncherFactory")
    return factory


def launcher_names() -> list[str]:
    """The names of all launchers, in order."""
    return sorted(_known())


def _known() -> dict[str, EntryPoint | str]:
    found: dict[str, EntryPoint | str] = {entry.name: entry for entry in entry_points(group=GROUP)}
    # Ours come last: another package cannot take the place of one of them unseen.
    return {**found, **OWN}


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
