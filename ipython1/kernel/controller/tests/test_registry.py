"""Engine ids, targets, and observers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ipython1.kernel.controller.observers import Observers
from ipython1.kernel.controller.registry import MAX_ENGINES, Registry
from ipython1.kernel.error import EngineCreationError, InvalidEngineID, NoEnginesRegistered


class RegistryCase(SynchronousTestCase):
    """A registry, and what its observers raised."""

    def setUp(self) -> None:
        self.reported: list[Exception] = []
        self.registry = Registry(Observers(lambda function, problem: self.reported.append(problem)))

    def register(self, wanted: int | None = None) -> int:
        record = self.registry.register(
            "agent", 0, wanted=wanted, generation=1, pid=1, host="here", properties={}
        )
        self.registry.announce(record.id)
        return record.id


class IdTests(RegistryCase):
    """Which id an engine gets."""

    def test_lowest_free(self) -> None:
        """Ids count up from 0, and one that was freed is given again first."""
        self.assertEqual([self.register() for _ in range(4)], [0, 1, 2, 3])
        self.registry.unregister(1)
        self.assertEqual([self.register(), self.register()], [1, 4])

    def test_wanted(self) -> None:
        """A wanted id is given if it is free and an id at all, else the lowest free one."""
        self.assertEqual([self.register(wanted) for wanted in (5, 5, -1, MAX_ENGINES, 2)], [5, 0, 1, 2, 3])

    def test_limit(self) -> None:
        """There are as many ids; one more engine is refused, and the last id can be given again."""
        for _ in range(MAX_ENGINES):
            self.register()
        self.assertIn(f"{MAX_ENGINES} engines already", str(self.assertRaises(EngineCreationError, self.register)))
        self.registry.unregister(511)
        self.assertEqual(self.register(), 511)

    @given(st.lists(st.one_of(st.none(), st.integers(-2, 12)), max_size=20))
    def test_no_id_twice(self, wishes: list[int | None]) -> None:
        """Whatever is wanted, no id is given twice, and one that can be had is."""
        registry = Registry(Observers(lambda function, problem: None), limit=10)
        given_ids: list[int] = []
        for wanted in wishes[:10]:
            record = registry.register("a", 0, wanted=wanted, generation=1, pid=1, host="", properties={})
            free = set(range(10)) - set(given_ids)
            self.assertEqual(record.id, wanted if wanted in free else min(free))
            given_ids.append(record.id)


class TargetsTests(RegistryCase):
    """What `targets` means."""

    def setUp(self) -> None:
        super().setUp()
        for _ in range(4):
            self.register()

    def test_meanings(self) -> None:
        """All, lists in their order with repeats, and slices of all."""
        for targets, ids in (
            ("all", [0, 1, 2, 3]),
            ([2, 0, 2], [2, 0, 2]),
            ([], []),
            ({"slice": [None, None, 2]}, [0, 2]),
            ({"slice": [-1, None, None]}, [3]),
            ({"slice": [None, None, -1]}, [3, 2, 1, 0]),
            ({"slice": [7, None, None]}, []),
        ):
            self.assertEqual(self.registry.resolve(targets), ids)

    def test_slice_of_ids_present(self) -> None:
        """A slice counts the engines there are, not their ids."""
        self.registry.unregister(0)
        self.assertEqual(self.registry.resolve({"slice": [0, 2, None]}), [1, 2])

    def test_unknown_id(self) -> None:
        """An id that is not registered is named, with those that are."""
        problem = self.assertRaises(InvalidEngineID, self.registry.resolve, [0, 7])
        self.assertEqual(str(problem), "Engine with id 7 is not registered; registered: [0, 1, 2, 3]")

    def test_no_targets(self) -> None:
        """What is no target at all is refused: bools, other texts, other types, impossible slices."""
        for targets in (
            [True],
            ["0"],
            [-1],
            [1.0],
            "most",
            None,
            0,
            {},
            {"slice": [0, 1]},
            {"slice": [0, 1, 0]},
            {"slice": [True, 1, 1]},
            {"slice": [0, "1", 1]},
            {"part": [0, 1, 1]},
        ):
            self.assertRaises(InvalidEngineID, self.registry.resolve, targets)

    def test_many_registered(self) -> None:
        """The error does not list hundreds of engines."""
        for _ in range(100):
            self.register()
        problem = self.assertRaises(InvalidEngineID, self.registry.resolve, [200])
        self.assertIn("registered: 104 engines from 0 to 103", str(problem))

    def test_none_registered(self) -> None:
        """All, or a slice, of no engines is an error of its own."""
        for engine in self.registry.ids():
            self.registry.unregister(engine)
        self.assertRaises(NoEnginesRegistered, self.registry.resolve, "all")
        self.assertRaises(NoEnginesRegistered, self.registry.resolve, {"slice": [None, None, None]})
        problem = self.assertRaises(InvalidEngineID, self.registry.resolve, [0])
        self.assertEqual(str(problem), "Engine with id 0 is not registered; registered: none")


class ObserverTests(RegistryCase):
    """Who hears of engines that come and go."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[Any] = []

    def hear(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append((args, kwargs))

    def test_coming_and_going(self) -> None:
        """Observers are called with the id, if that is wanted, and their arguments."""
        observers = self.registry.observers
        observers.on_register_engine_do(self.hear, True, "came", more=1)
        observers.on_unregister_engine_do(self.hear, False, "went")
        self.register()
        self.registry.unregister(0)
        self.assertEqual(self.heard, [((0, "came"), {"more": 1}), (("went",), {})])

    def test_no_more(self) -> None:
        """An observer that wants no more is called no more."""
        observers = self.registry.observers
        observers.on_register_engine_do(self.hear, True)
        observers.on_unregister_engine_do(self.hear, True)
        observers.on_register_engine_do_not(self.hear)
        observers.on_unregister_engine_do_not(self.hear)
        self.register()
        self.registry.unregister(0)
        self.assertEqual(self.heard, [])

    def test_so_many(self) -> None:
        """Who waits for a number of engines is called once, when they are there, or at once if they are."""
        observers = self.registry.observers
        observers.on_n_engines_registered_do(2, self.hear, "two")
        self.register()
        self.assertEqual(self.heard, [])
        self.register()
        self.register()
        self.assertEqual(self.heard, [(("two",), {})])
        observers.on_n_engines_registered_do(3, self.hear, "three")
        self.assertEqual(self.heard[1:], [(("three",), {})])

    def test_observer_raises(self) -> None:
        """An observer that raises is reported, and the others are called."""
        problem = ValueError("fault")

        def fail() -> None:
            raise problem

        self.registry.observers.on_register_engine_do(fail, False)
        self.registry.observers.on_register_engine_do(self.hear, True)
        self.register()
        self.assertEqual(self.reported, [problem])
        self.assertEqual(self.heard, [((0,), {})])
