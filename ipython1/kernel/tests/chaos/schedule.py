"""What is to happen when: a list of faults that follows from a seed alone."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

KINDS = {
    "kill-interpreter": 3.0,
    "kill-agent": 0.7,
    "kill-client": 1.0,
    "kill-controller": 2.5,
    "stop-interpreter": 1.0,
    "stop-agent": 1.0,
    "stop-client": 1.0,
    "stop-controller": 0.6,
    "cut-agent": 2.0,
    "cut-client": 2.0,
    "cut-all": 0.7,
    "stall-agent": 1.2,
    "stall-client": 1.2,
    "delay-agent": 0.7,
    "delay-client": 0.7,
}
"""The kinds of faults, and how often each comes, compared with the others."""
AWAY = ("stop-agent", "stop-client", "stop-controller", "stall-agent", "stall-client", "kill-controller")
"""Those that keep a peer away for some time: together they must not be taken for its end."""
DELAYS = (0.005, 0.2)
"""Seconds by which a slow connection delays what it carries: at least and at most."""
SHORTEST = 0.1
"""Seconds that a stop or a stall takes at least."""


@dataclass(frozen=True)
class Fault:
    """Something that happens `at` so many seconds after the beginning, to the agent or client of number `victim`.

    `place` is the engine's, of kinds that are for interpreters.  `seconds` is how long it lasts; for a kill, how long
    until what was killed is started again.  `amount` is by how many seconds a slow connection delays.
    """

    at: float
    kind: str
    victim: int = 0
    place: int = 0
    seconds: float = 0.0
    amount: float = 0.0

    @property
    def who(self) -> str:
        """What it happens to: ``agent``, ``client``, ``controller``, ``interpreter`` or ``all``."""
        return self.kind.partition("-")[2]


@dataclass(frozen=True)
class Shape:
    """How much there is of what faults happen to."""

    agents: int = 2
    engines: int = 2
    clients: int = 4


def schedule(
    seed: int, seconds: float, shape: Shape, kinds: Collection[str], gap: float, longest: float
) -> list[Fault]:
    """The faults of so many seconds, one every `gap` seconds on average, of which none lasts longer than `longest`.

    Whoever was kept away by one is left in peace, by that kind of fault, for as long again and `longest` more: they do
    not add up to an absence that nobody has to survive.
    """
    faults = _faults(random.Random(seed), seconds, shape, sorted(kinds), gap, longest)
    return sorted(faults, key=lambda fault: fault.at)


def _faults(
    chance: random.Random, seconds: float, shape: Shape, kinds: list[str], gap: float, longest: float
) -> Iterator[Fault]:
    weights = [KINDS[kind] for kind in kinds]
    rest: dict[tuple[str, int], float] = {}
    at = 0.0
    while kinds:
        at += chance.uniform(0.2, 1.8) * gap
        if at >= seconds:
            return
        (kind,) = chance.choices(kinds, weights)
        fault = _fault(chance, at, kind, shape, longest)
        if kind in AWAY:
            concerned = _concerned(fault, shape)
            free = max(at, *(rest.get(each, 0.0) for each in concerned))
            if free > at and (fault.who != "controller" or free >= seconds):
                continue
            # Somebody always is in need of rest: what concerns everybody would hardly ever come if it did not wait.
            fault = replace(fault, at=round(free, 3))
            rest.update(dict.fromkeys(concerned, free + 2 * fault.seconds + longest))
        yield fault


def _fault(chance: random.Random, at: float, kind: str, shape: Shape, longest: float) -> Fault:
    verb, _, who = kind.partition("-")
    victims = {"client": shape.clients, "controller": 1, "all": 1}.get(who, shape.agents)
    most = longest / 2 if verb == "kill" else longest
    return Fault(
        round(at, 3),
        kind,
        victim=chance.randrange(victims),
        place=chance.randrange(shape.engines),
        seconds=0.0 if verb == "cut" else round(chance.uniform(min(SHORTEST, most), most), 3),
        amount=round(chance.uniform(*DELAYS), 3) if verb == "delay" else 0.0,
    )


def _concerned(fault: Fault, shape: Shape) -> list[tuple[str, int]]:
    """Whom a fault keeps away: everybody, if it is the controller that is not there."""
    if fault.who != "controller":
        return [(fault.who, fault.victim)]
    return [("agent", number) for number in range(shape.agents)] + [
        ("client", number) for number in range(shape.clients)
    ]
