"""The rules of the election: single steps, and whole histories with lost answers, clocks that differ, and
processes that stand still.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from aidb_coordinator.leadership.election import (
    DRIFT,
    Election,
    Follow,
    Read,
    Record,
    Rest,
    Rules,
    Write,
)
from aidb_coordinator.leadership.record import from_lease, to_lease
from hypothesis import given, settings
from hypothesis import strategies as st

RULES = Rules.of(15)


def candidate(name: str = "a") -> Election:
    return Election(name, f"process of {name}", RULES)


def leading(sent: float = 100.0) -> Election:
    """`a`, by a write that was sent then and answered a second later."""
    new = candidate().observed(Record(), sent)
    step = new.next(sent, 7)
    assert isinstance(step, Write)
    return new.wrote(replace(step.record, revision="1"), sent, sent + 1)


def test_it_looks_first_and_takes_what_nobody_has() -> None:
    new = candidate()
    assert new.next(100.0, 7) == Read()
    step = new.observed(Record(), 100.0).next(100.0, 7)
    assert step == Write(Record("a", "process of a", 15, 0, 7, ""))


def test_it_leads_from_when_its_write_was_sent_less_the_drift() -> None:
    election = leading(sent=100.0)
    assert election.leads_until == 100.0 + 15 * (1 - DRIFT)
    assert election.next(101.0, 8) == Rest(100.0 + RULES.renew)
    assert isinstance(election.next(102.0, 8), Write)


def test_a_write_without_an_answer_renews_nothing() -> None:
    before = leading().leads_until
    unsure = leading().unanswered(103.0)
    assert unsure.next(103.0, 8) == Rest(103.0 + RULES.pause)
    assert unsure.next(104.0, 8) == Read()
    found = unsure.observed(Record("a", "process of a", 15, 0, 7, "2"), 104.0)
    assert found.leads_until == before, "nor does finding it done"
    assert isinstance(found.next(104.0, 8), Write)


def test_another_in_its_place_ends_it_at_once() -> None:
    assert not leading().observed(Record("b", "other", 15, 1, 9, "2"), 102.0).leads(102.0)


def test_the_pods_next_process_is_another() -> None:
    restarted = candidate().observed(Record("a", "the one before", 15, 0, 7, "1"), 100.0)
    assert restarted.next(101.0, 8) == Follow(115.0)


def test_who_waits_takes_what_did_not_change_for_its_whole_duration() -> None:
    held = Record("b", "other", 15, 3, 7, "1")
    waiting = candidate().observed(held, 100.0)
    assert waiting.next(114.9, 8) == Follow(115.0)
    renewed = waiting.observed(replace(held, revision="2"), 114.0)
    assert renewed.next(115.0, 8) == Follow(129.0)
    assert waiting.observed(held, 114.0).next(115.0, 8) == Write(Record("a", "process of a", 15, 4, 8, "1"))


def test_one_that_was_given_up_need_not_be_waited_for() -> None:
    after, record = leading().given_up()
    assert not after.leads(101.5)
    assert record is not None
    step = candidate("b").observed(replace(record, revision="2"), 102.0).next(102.0, 8)
    assert isinstance(step, Write)
    assert leading().observed(Record("b", "other", 15, 1, 9, "2"), 102.0).given_up()[1] is None


def test_a_lease_that_somebody_deleted_is_waited_for_all_the_same() -> None:
    waiting = candidate().observed(Record("b", "other", 15, 3, 7, "1"), 100.0).observed(Record(), 105.0)
    assert waiting.next(106.0, 8) == Follow(120.0)
    step = waiting.next(120.0, 8)
    assert isinstance(step, Write)
    assert step.record.revision == "", "it is made anew"


def test_a_record_survives_the_api() -> None:
    record = Record("c-0", "p", 15, 2, 1_764_000_000_123, "77")
    lease = to_lease(record, "c-coordinator", {}, 1_764_000_001_000)
    assert from_lease(lease) == record
    assert from_lease({"metadata": {"resourceVersion": "1"}, "spec": {}}) == Record(revision="1")


class SplitBrain(AssertionError):
    pass


@dataclass
class Server:
    """The stored record; writes are compare-and-swap."""

    record: Record = field(default_factory=Record)
    counter: int = 0

    def write(self, record: Record) -> Record | None:
        if record.revision != self.record.revision:
            return None
        self.counter += 1
        self.record = replace(record, revision=str(self.counter))
        return self.record


@dataclass
class Node:
    """A candidate with a clock of its own: `offset` + `rate` times the true time."""

    election: Election
    rate: float
    offset: float
    asleep_until: float = 0.0
    waits: int = 0

    def clock(self, true: float) -> float:
        return self.offset + self.rate * true

    def leads(self, true: float) -> bool:
        return self.election.leads(self.clock(true))


Wrote = Callable[[Election, Record, float, float], Election]


@dataclass
class World:
    """Everything that happens happens at a true time. `faults` end at `calm`."""

    seed: int
    calm: float = 400.0
    wrote: Wrote = Election.wrote
    server: Server = field(default_factory=Server)
    leaders: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.nodes = [
            Node(
                Election(name, f"process of {name}", RULES),
                rate=self.dice.uniform(1 - DRIFT / 2.05, 1 + DRIFT / 2.05),
                offset=self.dice.uniform(0, 1e6),
            )
            for name in "abc"
        ]

    def run(self) -> None:
        for node in self.nodes:
            self.at(self.dice.uniform(0, 20), lambda node=node: self.turn(node))  # type: ignore[misc]
        while self._queue and self.now < self.calm + 120:
            self.now, _, act = heapq.heappop(self._queue)
            act()
            leading = [node.election.holder for node in self.nodes if node.leads(self.now)]
            self.leaders.update(leading)
            if len(leading) > 1:
                raise SplitBrain(f"seed {self.seed}: {leading} lead at {self.now}")
        assert sum(node.leads(self.now) for node in self.nodes) == 1, f"seed {self.seed}: nobody leads"

    def at(self, delay: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + max(0.0, delay), next(self._order), act))

    def odds(self, chance: float) -> bool:
        return self.now < self.calm and self.dice.random() < chance

    def delay(self) -> float:
        return self.dice.expovariate(0.3) if self.odds(0.1) else self.dice.uniform(0, 0.1)

    def awake(self, node: Node, act: Callable[[], None]) -> None:
        """Now, or when the process runs again."""
        if self.odds(0.02):
            node.asleep_until = self.now + self.dice.expovariate(1 / 20)
        if node.asleep_until > self.now:
            self.at(node.asleep_until - self.now, act)
        else:
            act()

    def turn(self, node: Node) -> None:
        self.awake(node, lambda: self.act(node))

    def act(self, node: Node) -> None:
        clock = node.clock(self.now)
        match node.election.next(clock, 0):
            case Rest(until) | Follow(until) as step:
                left = (until - clock) / node.rate
                if isinstance(step, Follow) and self.dice.random() < 0.7:
                    # The watch shows a change soon, or not at all.
                    left = min(left, self.delay() + 0.5)
                    self.at(left, lambda: self.awake(node, lambda: self.see(node)))
                else:
                    self.at(left + 1e-6, lambda: self.turn(node))
            case Read():
                self.call(node, lambda: self.server.record, lambda found: self.saw(node, found))
            case Write(record):
                sent = clock
                self.call(
                    node,
                    lambda: self.server.write(record),
                    lambda stored: self.answered(node, stored, sent),
                )

    def see(self, node: Node) -> None:
        self.saw(node, self.server.record)

    def saw(self, node: Node, found: Record | None) -> None:
        assert found is not None
        node.election = node.election.observed(found, node.clock(self.now))
        self.turn(node)

    def answered(self, node: Node, stored: Record | None, sent: float) -> None:
        if stored is None:
            node.election = node.election.conflicted()
        else:
            node.election = self.wrote(node.election, stored, sent, node.clock(self.now))
        self.turn(node)

    def call(
        self, node: Node, do: Callable[[], Record | None], answer: Callable[[Record | None], None]
    ) -> None:
        """The request may be lost, late, or its answer may; the caller waits for 3 s."""
        node.waits += 1
        number = node.waits

        def late() -> None:
            if node.waits == number:
                node.waits += 1
                node.election = node.election.unanswered(node.clock(self.now))
                self.turn(node)

        def came(result: Record | None) -> None:
            if node.waits == number:
                node.waits += 1
                answer(result)

        def arrived() -> None:
            result = do()
            if not self.odds(0.15):
                self.at(self.delay(), lambda: self.awake(node, lambda: came(result)))

        if not self.odds(0.1):
            self.at(self.delay(), arrived)
        self.at(3.0, lambda: self.awake(node, late))


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_two_never_lead_and_one_does_in_the_end(seed: int) -> None:
    World(seed).run()


def test_histories_are_worth_something() -> None:
    """Leaders change in them; and one who counts from when the answer came is found out."""
    many = [World(seed) for seed in range(30)]
    for world in many:
        world.run()
    assert sum(len(world.leaders) > 1 for world in many) > 20

    def careless(election: Election, record: Record, sent: float, at: float) -> Election:
        return replace(election.wrote(record, at, at), leads_until=at + RULES.duration)

    with pytest.raises(SplitBrain):
        for seed in range(300):
            World(seed, wrote=careless).run()
