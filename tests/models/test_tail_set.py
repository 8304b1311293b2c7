"""Who is in a tail set, while it changes (D5; `node/src/primary/tail_set.rs`, `recovery/tail.py`).

A primary of mode `replica` writes, archives, and asks for members by compare-and-swap; its requests may come
late, or never, and its view of the topology is old as long as it likes. Replicas follow, confirm, and one may
restart with empty memory. A taker takes the epoch and reads the set, ends the archive, seals the members, and
may rely on any one of them that vouches. What must hold: it has every write that was ever acknowledged, and
stops only if a replica has failed as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from tests.models.explore import Action, explore
from tests.models.test_sealing import put

# Small, so that it takes seconds: two writes were tried to half a million states.

WRITES = 1
MEMBERS = (0, 1)
MOST_ASKED = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """``exact``: a change is made at the version that it was asked at. ``asked_count``: sets that were asked
    for are respected until the view is newer. ``empty_counts``: an empty one among them, or in the view,
    means that only the archive counts. ``leavers_wait``: for the archive. ``taken_ends``: once the epoch is
    taken the set is fixed. ``complete``: only who has caught up since it began anew vouches. (Who comes need
    not wait for anything: it does not vouch before. That it does keeps all members able to.)
    """

    exact: bool = True
    asked_count: bool = True
    empty_counts: bool = True
    leavers_wait: bool = True
    taken_ends: bool = True
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Holder:
    """What a replica has: the writes after ``start`` through ``last``; ``needs`` to reach that to vouch;
    ``known`` to the primary of it.
    """

    start: int = 0
    last: int = 0
    needs: int = 0
    known: int = 0
    follows: bool = False
    sealed: bool = False


Set = frozenset[int]
NOBODY: Set = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    written: int = 0
    archived: int = 0
    acknowledged: int = 0
    version: int = 1
    members: Set = NOBODY
    view: tuple[int, Set] = (1, NOBODY)
    asked: frozenset[Set] = frozenset()
    requests: frozenset[tuple[int, Set]] = frozenset()
    holders: tuple[Holder, ...] = (Holder(),) * len(MEMBERS)
    times_asked: int = 0
    restarted: bool = False
    taken: Set | None = None
    archive_ended: bool = False


def possible(s: State) -> frozenset[Set]:
    """What the document may say by now."""
    return s.asked | {s.view[1]}


def safe_through(s: State, rules: Rules) -> int:
    sets = possible(s) if rules.asked_count else {s.view[1]}
    waited_for = NOBODY.union(*sets)
    if not waited_for or rules.empty_counts and NOBODY in sets:
        return s.archived
    return max(s.archived, min(s.holders[number].known for number in waited_for))


def changed(s: State, number: int, **fields: object) -> State:
    holder = replace(s.holders[number], **fields)  # type: ignore[arg-type]
    return replace(s, holders=put(s.holders, number, holder))


def actions(rules: Rules) -> list[Action[State]]:
    def write(s: State) -> Iterable[tuple[str, State]]:
        if s.written < WRITES:
            yield "a write is synced", replace(s, written=s.written + 1)
        if s.archived < s.written and not s.archive_ended:
            yield "a write is archived", replace(s, archived=s.archived + 1)

    def acknowledge(s: State) -> Iterable[tuple[str, State]]:
        safe = safe_through(s, rules)
        if safe > s.acknowledged:
            yield f"acknowledges through {safe}", replace(s, acknowledged=safe)

    def follow(s: State) -> Iterable[tuple[str, State]]:
        for number, holder in enumerate(s.holders):
            if holder.sealed:
                continue
            if not holder.follows:
                begin = {"start": s.archived, "last": s.archived, "known": s.archived}
                promised = max(s.archived, s.acknowledged)
                yield f"{number} follows", changed(s, number, needs=promised, follows=True, **begin)
            elif holder.last < s.written:
                # A confirmation that is late, or lost, only keeps the primary waiting.
                last = holder.last + 1
                yield f"{number} holds one more", changed(s, number, last=last, known=max(holder.known, last))

    def restart(s: State) -> Iterable[tuple[str, State]]:
        for number, holder in enumerate(s.holders):
            if holder.follows and not s.restarted:
                # It learns the epoch before it follows again; what the primary knows of it stays as it was.
                fresh = Holder(known=holder.known, sealed=s.taken is not None)
                yield (
                    f"{number} restarts",
                    replace(s, holders=put(s.holders, number, fresh), restarted=True),
                )

    def ask(s: State) -> Iterable[tuple[str, State]]:
        version, _ = s.view
        for wanted in (NOBODY, frozenset({0}), frozenset({1})):
            if s.times_asked == MOST_ASKED or (version, wanted) in s.requests:
                continue
            promised = s.acknowledged
            waited_for = NOBODY.union(*possible(s))
            if rules.leavers_wait and waited_for - wanted and s.archived < promised:
                continue
            yield (
                f"asks for {sorted(wanted)} at {version}",
                replace(
                    s,
                    asked=s.asked | {wanted},
                    requests=s.requests | {(version, wanted)},
                    times_asked=s.times_asked + 1,
                ),
            )

    def decide(s: State) -> Iterable[tuple[str, State]]:
        for request in s.requests:
            version, wanted = request
            rest = replace(s, requests=s.requests - {request})
            late = rules.exact and version != s.version or rules.taken_ends and s.taken is not None
            if late:
                yield "a request is refused", rest
            else:
                yield f"the set is {sorted(wanted)}", replace(rest, version=s.version + 1, members=wanted)

    def look(s: State) -> Iterable[tuple[str, State]]:
        if s.view[0] < s.version:
            yield "the primary learns the set", replace(s, view=(s.version, s.members), asked=frozenset())

    def take(s: State) -> Iterable[tuple[str, State]]:
        if s.taken is None:
            yield "the epoch is taken", replace(s, taken=s.members)
            return
        if not s.archive_ended:
            yield "the log is sealed", replace(s, archive_ended=True)
        elif any(not s.holders[number].sealed for number in s.taken):
            sealed = s
            for number in s.taken:
                sealed = changed(sealed, number, sealed=True)
            yield "the members are sealed", sealed

    return [write, acknowledge, follow, restart, ask, decide, look, take]


def lost(rules: Rules) -> object:
    def wrong(s: State) -> str:
        if s.taken is None or not s.archive_ended:
            return ""
        tails = [s.holders[number] for number in s.taken]
        if not all(tail.sealed for tail in tails):
            return ""
        vouch = [
            tail
            for tail in tails
            if tail.follows and tail.start <= s.archived and (tail.last >= tail.needs or not rules.complete)
        ]
        if tails and not vouch and not s.restarted and s.archived < s.acknowledged:
            return "the taker stops, though nobody has failed but the primary"
        # Nobody vouches: the taker stops. Else it may rely on any of them.
        ends = [max(s.archived, tail.last) for tail in vouch] if tails else [s.archived]
        if ends and min(ends) < s.acknowledged:
            return f"write {s.acknowledged} was acknowledged, the taker has {min(ends)}"
        return ""

    return wrong


def test_whoever_vouches_has_everything_that_was_acknowledged() -> None:
    found = explore(State(), actions(Rules()), lost(Rules()))  # type: ignore[arg-type]
    assert found.wrong == "", found.trace
    assert found.states > 10_000


@pytest.mark.parametrize(
    "rules",
    [
        Rules(exact=False),
        Rules(asked_count=False),
        Rules(empty_counts=False),
        Rules(leavers_wait=False),
        Rules(taken_ends=False),
        Rules(complete=False),
    ],
)
def test_without_one_of_the_rules_something_is_lost(rules: Rules) -> None:
    assert explore(State(), actions(rules), lost(rules)).wrong  # type: ignore[arg-type]
