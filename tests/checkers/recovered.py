"""Is what a shard came back with a prefix of commit order that has everything that was promised?

Versions are LSNs, so an acknowledged write says where in commit order it stands, and the LSN that the shard
came back to says which of them must be there: all up to it and none behind it. A write without an answer may
be there or not; once it is seen, it stands where its version says, and with it the whole batch if that was
atomic. Values are all different, so a value names its write.

A shard may come back to a state from before its last recovery, so all that survived is kept as `history`.
What was lost is taken out of it: it must never be seen again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

Entry = tuple[bytes, int]  # value and version
State = Mapping[bytes, Entry]
_END = 1 << 64


@dataclass(frozen=True, slots=True)
class Write:
    """``version`` 0: there was no answer; if it was done, it stands at ``latest`` at most. ``batch``: of an
    atomic one, whose writes share the number; 0 = by itself. ``promised``: the answer said that what happened
    afterwards would not lose it.
    """

    key: bytes
    value: bytes | None
    version: int
    batch: int = 0
    promised: bool = True
    latest: int = _END


@dataclass(frozen=True, slots=True)
class Sight:
    """What a reader was shown."""

    key: bytes
    value: bytes
    version: int
    promised: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """What happened to a shard. ``history``: what had survived its last recovery; ``above``: the highest LSN
    that anybody had been told by then, lost or not. ``writes``, ``sights``: since.
    """

    history: Sequence[Write] = ()
    above: int = 0
    writes: Sequence[Write] = ()
    sights: Sequence[Sight] = ()


@dataclass(slots=True)
class Verdict:
    """``lost``: acknowledged writes behind the end. ``following``: with what the next span begins."""

    problems: list[str] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    following: Span = field(default_factory=Span)


def check(span: Span, found: State, end: int, floor: int = 0) -> Verdict:
    """``found``: all that the shard has after it came back to the LSN ``end``, of which ``floor`` had been
    said to be safe.
    """
    verdict = Verdict()
    acknowledged = [write for write in span.writes if write.version]
    verdict.acknowledged = len(acknowledged)
    if end < floor:
        verdict.problems.append(
            f"it ends at lsn {end}, though everything through {floor} was said to be safe"
        )
    writes = _placed([*span.history, *span.writes], span.sights, found, verdict.problems)
    for write in acknowledged:
        if write.version <= span.above:
            verdict.problems.append(f"{_said(write)}: lsn {span.above} had been given before")
        if write.promised and write.version > end:
            verdict.problems.append(f"{_said(write)} was promised, and what came back ends at {end}")
    for sight in span.sights:
        if sight.promised and sight.version > end:
            what = f"a reader was shown {sight.key!r} v{sight.version}"
            verdict.problems.append(f"{what}, and what came back ends at {end}")
    verdict.problems += _compare(writes, found, end)
    answered = [write for write in (*span.history, *span.writes) if write.version]
    verdict.lost = sum(write.version > end for write in answered)
    kept = [replace(w, latest=min(w.latest, end)) for w in writes if w.version <= end]
    highest = max([span.above, end, *(write.version for write in writes)])
    verdict.following = Span(kept, highest)
    return verdict


def _placed(
    writes: Sequence[Write], sights: Iterable[Sight], found: State, problems: list[str]
) -> list[Write]:
    """The writes, those without an answer with a version if it is known because they were seen."""
    by_value = {(write.key, write.value): write for write in writes if write.value is not None}
    seen: dict[tuple[bytes, bytes | None], int] = {}
    shown = [((sight.key, sight.value), sight.version) for sight in sights]
    shown += [((key, value), version) for key, (value, version) in found.items()]
    for what, version in shown:
        write = by_value.get(what)
        if write is not None and version == (write.version or seen.setdefault(what, version)) <= write.latest:
            continue
        problems.append(f"{what[0]!r} was seen with {what[1][:40]!r} v{version}, which nobody wrote so")
    batches = {w.batch: seen[w.key, w.value] for w in writes if w.batch and (w.key, w.value) in seen}

    def place(write: Write) -> Write:
        version = batches.get(write.batch, 0) or seen.get((write.key, write.value), 0)
        return replace(write, version=version) if version and not write.version else write

    return [place(write) for write in writes]


def _compare(writes: Sequence[Write], found: State, end: int) -> list[str]:
    """Key by key: the newest write through ``end``, and nothing else."""
    expected: dict[bytes, tuple[bytes | None, int]] = {}
    problems = []
    for write in sorted((write for write in writes if write.version), key=lambda write: write.version):
        if write.version <= end:
            before = expected.get(write.key)
            if before is not None and before[1] == write.version and before[0] != write.value:
                problems.append(f"{write.key!r} has two writes of lsn {write.version}")
            expected[write.key] = (write.value, write.version)
    # Up to where a delete without an answer may stand.
    vanishing: dict[bytes, int] = {}
    for write in writes:
        if write.value is None and not write.version:
            vanishing[write.key] = max(vanishing.get(write.key, 0), write.latest)
    for key in expected.keys() | found.keys():
        value, version = expected.get(key, (None, 0))
        there = found.get(key)
        if there is None:
            if value is not None and vanishing.get(key, 0) <= version:
                problems.append(f"{key!r} is missing: v{version} stands before the end, {end}")
        elif there[1] > end:
            problems.append(f"{key!r} has v{there[1]}, behind the end, {end}")
        elif there[1] < version:
            what = "its delete" if value is None else "the write"
            problems.append(f"{key!r} has v{there[1]}: {what} v{version} is a hole before the end, {end}")
        elif there[1] == version and there[0] != value:
            problems.append(f"{key!r} v{version} has another value than was written")
    return problems


def _said(write: Write) -> str:
    return f"the write of {write.key!r} that was acknowledged as v{write.version}"
