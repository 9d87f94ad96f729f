"""A launcher that another package brings: as ``local``, but engines leave the processors to others (see nice(1))."""

import os

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ipython1.kernel.launch.launcher import ILauncherFactory, IPlan
from ipython1.kernel.launch.local import LocalLauncher, LocalPlan


class NiceLauncher(LocalLauncher):
    """A process that is nice as soon as it is there, and with it all that it starts."""

    def __init__(self, reactor, launch, niceness):
        super().__init__(reactor, launch)
        self._niceness = niceness

    def start(self):
        return Deferred.fromCoroutine(self._start_nicely())

    async def _start_nicely(self):
        await super().start()
        os.setpriority(os.PRIO_PROCESS, self.status().pid, self._niceness)


@implementer(IPlan)
class NicePlan(LocalPlan):
    """A local cluster with nice engines; its controller has work for all of them, and is not nice."""

    def __init__(self, wanted, niceness):
        super().__init__(wanted)
        self._niceness = niceness

    def launcher(self, reactor, launch):
        if launch.command[0] == "ipcontroller":
            return super().launcher(reactor, launch)
        return NiceLauncher(reactor, launch, self._niceness)


@implementer(ILauncherFactory)
class NiceFactory:
    summary = "a controller and nice engines on this host"

    def add_options(self, parser):
        parser.add_argument("--nice", type=int, default=10, metavar="N", help="how nice (default: 10)")

    def plan(self, wanted, options):
        return NicePlan(wanted, options.nice)


factory = NiceFactory()
