"""Random walks through slot moves. The coordinator's transitions are the real ones
(`aidb_coordinator.moves`); source and target do what `node/aidb_node/moves` and `node/src/primary/moving` do,
in small. Reports are lost, late and repeated; nodes learn of the topology late; both are restarted, and taken
over from their archives; moves are aborted and cancelled at any time; the slot goes to and fro.

One slot of two keys; operations have increasing numbers; mode `archived`: an operation is acknowledged when
it is archived. What must hold: one shard accepts writes; the owner's value of a key is no older than the last
that was acknowledged, and none that a takeover had rolled back and the next primary had served without.
Variants that leave a rule out show that the walks find what it is for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from aidb_coordinator import moves
from aidb_coordinator import topology as topologies
from aidb_coordinator.topology import (
    Member,
    Move,
    MoveStep,
    Role,
    Shard,
    SlotSpan,
    Topology,
    TopologyError,
    pack_owners,
)

from aidb.slots import SLOT_COUNT

SLOT = 7
KEYS = (0, 1)
STEPS = 300
WALKS = 200
BARE = Topology("uid", pack_owners([0] * SLOT_COUNT), (Shard(0), Shard(1)))
# Which operations delete.
DELETES = range(0, 10_000, 3)
Values = dict[int, int]


@dataclass(frozen=True, slots=True)
class Rules:
    """`aborts`: M1. `wipes`: M3. `archives`: M7. `waits`: M9, no un-fencing by itself. `keeps`: M9, nothing
    is deleted before COMMIT.
    """

    aborts: bool = True
    wipes: bool = True
    archives: bool = True
    waits: bool = True
    keeps: bool = True


@dataclass(slots=True)
class Import:
    """Of one attempt, in the target's process. `at`: a position in the source's log."""

    attempt: tuple[str, int]
    at: int = -1
    gained: bool = False


@dataclass(slots=True)
class Node:
    """A shard's primary. `log`: (key, number) on its disk; number 0 deletes all, as a wipe does; `archived`:
    how much of it the store has. `fenced`: its last position of the slot, by move and attempt.
    """

    shard: int
    epoch: int
    view: Topology
    log: list[tuple[int, int]] = field(default_factory=list)
    archived: int = 0
    importing: Import | None = None
    fenced: dict[tuple[str, int], int] = field(default_factory=dict)
    unfenced: bool = False

    def values(self, through: int | None = None) -> Values:
        found: Values = {}
        for key, number in self.log[:through]:
            if number == 0:
                found.clear()
            elif number in DELETES:
                found.pop(key, None)
            else:
                found[key] = number
        return found

    def accepts(self) -> bool:
        shard = self.view.shard(self.shard)
        move = next((move for move in self.view.moves if move.step is MoveStep.FENCED), None)
        fenced = move is not None and not self.unfenced
        return (
            shard is not None
            and shard.epoch == self.epoch
            and self.view.owner(SLOT) == self.shard
            and not fenced
        )


class Wrong(Exception):
    """An invariant does not hold."""


class Walk:
    def __init__(self, rules: Rules, rng: random.Random) -> None:
        self.rules = rules
        self.rng = rng
        self.doc = self._grant(self._grant(BARE, 0, 1), 1, 1)
        self.history = [self.doc]
        self.nodes = [Node(shard, 1, self.doc) for shard in (0, 1)]
        self.reports: list[tuple[str, str, int, int]] = []
        self.number = 0
        self.count = 0
        self.acknowledged: Values = dict.fromkeys(KEYS, 0)
        self.deleted: dict[int, list[int]] = {key: [] for key in KEYS}
        self.dead: set[int] = set()
        self.committed = 0
        self.trace: list[str] = []

    # --- the document ---

    def _grant(self, doc: Topology, shard: int, epoch: int) -> Topology:
        member = Member(f"shard-{shard}-primary", "h:1", Role.PRIMARY, shard)
        granted = topologies.grant_epoch(doc, member, epoch=epoch, disk_id=f"d{shard}", cut=None)
        if self.rules.aborts:
            return granted
        # The attempt goes on as if nothing had happened.
        goes_on = (
            replace(
                move,
                source_epoch=epoch if move.source == shard else move.source_epoch,
                target_epoch=epoch if move.target == shard else move.target_epoch,
            )
            for move in doc.moves
        )
        return replace(granted, moves=tuple(goes_on))

    def _commit(self, after: Topology) -> None:
        self.doc = after
        self.history.append(after)

    def _try(self, transition: Callable[[Topology], tuple[Topology, Move]]) -> bool:
        try:
            self._commit(transition(self.doc)[0])
        except TopologyError:
            return False
        return True

    def _live(self) -> Move | None:
        return next(iter(moves.live(self.doc)), None)

    def coordinate(self) -> None:
        live = self._live()
        if live is None:
            self.count += 1
            source = self.doc.owner(SLOT)
            span = SlotSpan(SLOT, SLOT)
            self._try(lambda doc: moves.add(doc, f"m{self.count}", (span,), source, 1 - source))
        elif live.step is MoveStep.WAITING:
            self._try(lambda doc: moves.prepare(doc, live.id))
        elif self.rng.random() < 0.03:
            self._try(lambda doc: moves.abort(doc, live.id, live.attempt, "given up"))
        elif self.rng.random() < 0.02:
            self._try(lambda doc: moves.cancel(doc, live.id))

    def deliver(self) -> None:
        """A report, which may come again."""
        if not self.reports:
            return
        what, move_id, attempt, epoch = self.rng.choice(self.reports)
        move = moves.find(self.doc, move_id)
        if move is None or (move.target_epoch, move.attempt) != (epoch, attempt):
            return
        if what == "ready":
            self._try(lambda doc: moves.fence(doc, move_id, attempt, source_lsn=1))
        elif self._try(lambda doc: moves.commit(doc, move_id, attempt, since_lsn=1, at_ms=1)):
            self.committed += 1

    def lose_reports(self) -> None:
        self.reports = self.rng.sample(self.reports, len(self.reports) // 2)

    # --- nodes ---

    def learn(self) -> None:
        node = self.rng.choice(self.nodes)
        newer = [doc for doc in self.history if doc.version > node.view.version]
        if newer:
            node.view = self.rng.choice((newer[-1], self.rng.choice(newer)))
            node.unfenced = False
            importing = node.importing
            wanted = self._wanted(node)
            if importing is not None and (wanted is None or (wanted.id, wanted.attempt) != importing.attempt):
                node.importing = None

    def _wanted(self, node: Node) -> Move | None:
        for move in node.view.moves:
            if move.step in topologies.UNDER_WAY and (move.target, move.target_epoch) == (
                node.shard,
                node.epoch,
            ):
                return move
        return None

    def write(self) -> None:
        node = self.rng.choice(self.nodes)
        if node.accepts():
            self.number += 1
            key = self.rng.choice(KEYS)
            node.log.append((key, self.number))
            if self.number in DELETES:
                self.deleted[key].append(self.number)

    def archive(self) -> None:
        node = self.rng.choice(self.nodes)
        owns = node.view.owner(SLOT) == node.shard
        for key, number in node.log[node.archived :]:
            # Imported ones were acknowledged before, or by nobody yet.
            if number and (owns or number not in self.acknowledged.values()):
                self.acknowledged[key] = max(self.acknowledged[key], number if owns else 0)
        node.archived = len(node.log)

    def import_on(self) -> None:
        """The target's next step."""
        node, move = next(((n, m) for n in self.nodes if (m := self._wanted(n))), (self.nodes[0], None))
        if move is None:
            return
        source = self.nodes[move.source]
        known = moves.find(source.view, move.id)
        if known is None or known.attempt != move.attempt or known.step not in topologies.UNDER_WAY:
            return
        if self.rules.aborts and known.source_epoch != source.epoch:
            return
        if node.importing is None:
            node.importing = Import((move.id, move.attempt), len(source.log))
            if self.rules.wipes:
                node.log.append((0, 0))
            # The copy: present keys only, at the position that was pinned.
            node.log.extend(source.values().items())
            return
        work = node.importing
        attempt = move.id, move.attempt
        if known.step is MoveStep.FENCED and attempt not in source.fenced:
            source.fenced[attempt] = len(source.log)
        tail = [op for op in source.log[work.at :] if op[1]]
        node.log.extend(tail)
        work.at = len(source.log)
        final = source.fenced.get(attempt)
        if move.step is MoveStep.PREPARED:
            self.reports.append(("ready", move.id, move.attempt, node.epoch))
        elif final is not None and work.at >= final:
            work.gained = True
        if work.gained and (node.archived == len(node.log) or not self.rules.archives):
            self.reports.append(("drained", move.id, move.attempt, node.epoch))

    def clean(self) -> None:
        node = self.rng.choice(self.nodes)
        kept = any(
            move.step in topologies.UNDER_WAY and node.shard in (move.source, move.target)
            for move in node.view.moves
        )
        early = not self.rules.keeps and any(move.step is MoveStep.FENCED for move in node.view.moves)
        if (
            node.importing is None
            and (not kept and node.view.owner(SLOT) != node.shard or early)
            and node.values()
        ):
            node.log.append((0, 0))

    def time_out(self) -> None:
        if not self.rules.waits:
            self.rng.choice(self.nodes).unfenced = True

    def restart(self) -> None:
        self._replace(self.rng.choice(self.nodes), lost=False)

    def lose(self) -> None:
        self._replace(self.rng.choice(self.nodes), lost=True)

    def _replace(self, old: Node, *, lost: bool) -> None:
        """A new primary, by the document after the swap that gave it its epoch (m13, m15)."""
        kept = old.log[: old.archived] if lost else old.log
        gone = {number for _, number in old.log[len(kept) :]}
        if self.doc.owner(SLOT) == old.shard:
            self.dead |= gone - {0}
        self._commit(self._grant(self.doc, old.shard, old.epoch + 1))
        self.nodes[old.shard] = Node(
            old.shard, old.epoch + 1, self.doc, list(kept), min(old.archived, len(kept))
        )

    # --- what must hold ---

    def check(self) -> None:
        if sum(node.accepts() for node in self.nodes) > 1:
            raise Wrong("two shards accept writes")
        for node in self.nodes:
            if not node.accepts():
                continue
            values = node.values()
            for key in KEYS:
                acknowledged = self.acknowledged[key]
                found = values.get(key, 0)
                absent = any(number >= acknowledged for number in self.deleted[key])
                if found < acknowledged and not (found == 0 and absent):
                    raise Wrong(f"key {key} is {found}, acknowledged was {acknowledged}")
                if found in self.dead:
                    raise Wrong(f"key {key} is {found}, which was rolled back")

    def run(self) -> None:
        often = (self.coordinate, self.deliver, self.learn, self.learn, self.write, self.archive)
        actions = (*often, *often, self.import_on, self.import_on, self.import_on)
        seldom = (self.lose_reports, self.clean, self.time_out, self.restart, self.lose)
        for _ in range(STEPS):
            action = self.rng.choice(seldom if self.rng.random() < 0.04 else actions)
            action()
            self.trace.append(action.__name__)
            self.check()


def walks(rules: Rules, count: int, seed: int) -> tuple[str, int]:
    """What went wrong first, and how many moves were committed."""
    committed = 0
    for number in range(count):
        walk = Walk(rules, random.Random(f"{seed}/{number}"))
        try:
            walk.run()
        except Wrong as wrong:
            return f"walk {number} of seed {seed}: {wrong}: {' > '.join(walk.trace[-40:])}", committed
        committed += walk.committed
    return "", committed


def test_no_key_is_lost_or_revived_and_nobody_shares_a_slot() -> None:
    wrong, committed = walks(Rules(), WALKS, seed=1)
    assert wrong == ""
    assert committed > WALKS / 2


@pytest.mark.parametrize("rule", ["aborts", "wipes", "archives", "waits", "keeps"])
def test_each_rule_is_needed(rule: str) -> None:
    wrong, _ = walks(replace(Rules(), **{rule: False}), 1500, seed=2)
    assert wrong
