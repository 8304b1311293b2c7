"""What is wrong, as far as a program can tell, each with the page that helps. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from google.protobuf.message import Message

from aidb.v1 import cluster_pb2 as pb

Severity = Literal["critical", "warning"]
_RUNBOOK = "docs/runbooks/{}.md"
_STALE_MS = 10_000
_LAG_MS = 60_000


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` is a sentence; ``page`` is of this project's documents."""

    severity: Severity
    about: str
    what: str
    page: str


def of_answer(answer: Message) -> Iterator[Finding]:
    """Of the coordinator; most of what it answers says nothing of this kind."""
    if isinstance(answer, pb.ClusterStatus):
        yield from of_status(answer)
    elif isinstance(answer, pb.ListOperationsResponse):
        yield from of_operations(answer.operations)


def of_status(status: pb.ClusterStatus) -> Iterator[Finding]:
    """Of shards, members and the second copy."""
    for shard in status.shards:
        about = f"shard {shard.id}"
        yield from _of_shard(about, shard)
        for member in (*((shard.primary,) if shard.HasField("primary") else ()), *shard.replicas):
            yield from _of_member(member)
        if shard.HasField("second_copy"):
            yield from _of_second_copy(about, shard.second_copy)
    for router in status.routers:
        yield from _of_member(router)


def _of_shard(about: str, shard: pb.ShardStatus) -> Iterator[Finding]:
    reason = f": {shard.reason}" if shard.reason else ""
    if shard.state == pb.SHARD_STOPPED:
        what = f"its primary is gone and writes fail{reason}"
        yield Finding("critical", about, what, _RUNBOOK.format("AidbShardDown"))
    elif shard.state != pb.SHARD_RUNNING:
        name = pb.ShardState.Name(shard.state).removeprefix("SHARD_").lower()
        yield Finding("warning", about, f"it is {name}{reason}", _RUNBOOK.format("AidbMemberFailed"))
    if shard.HasField("successor"):
        wanted = shard.successor.successor.incarnation
        what = f"incarnation {wanted} of its primary is wanted and does not serve yet"
        yield Finding("warning", about, what, _RUNBOOK.format("AidbSuccessorStuck"))


def _of_member(member: pb.MemberStatus) -> Iterator[Finding]:
    name = member.member.name
    if member.state != pb.MEMBER_HEALTHY:
        state = pb.MemberState.Name(member.state).removeprefix("MEMBER_").lower()
        what = f"it is {state}" + (f": {member.reason}" if member.reason else "")
        yield Finding("warning", name, what, _RUNBOOK.format("AidbMemberFailed"))
    if member.staleness_ms > _STALE_MS:
        what = f"its cache is {member.staleness_ms / 1000:.0f} s behind its primary"
        yield Finding("warning", name, what, _RUNBOOK.format("AidbCacheStale"))


def _of_second_copy(about: str, copy: pb.SecondCopy) -> Iterator[Finding]:
    if copy.archive_error or copy.archive_lag_ms > _LAG_MS:
        lag = f"the archive is {copy.archive_lag_ms / 1000:.0f} s behind"
        what = lag + (f": {copy.archive_error}" if copy.archive_error else "")
        yield Finding("warning", about, what, _RUNBOOK.format("AidbArchiveBehind"))
    if copy.snapshot_error:
        what = f"the last snapshot failed: {copy.snapshot_error}"
        yield Finding("warning", about, what, _RUNBOOK.format("AidbBackupTooOld"))
    for kind, problem in (("verification", copy.verify_problem), ("drill", copy.drill_problem)):
        if problem:
            what = f"the second copy's {kind} failed: {problem}"
            yield Finding("critical", about, what, _RUNBOOK.format("AidbSecondCopyDamaged"))


def of_operations(operations: Sequence[pb.Operation]) -> Iterator[Finding]:
    """Those that failed or wait for somebody."""
    for one in operations:
        about, page = f"operation {one.id}", _RUNBOOK.format("AidbOperationStuck")
        if one.state == "failed":
            yield Finding("warning", about, f"{one.kind} failed: {one.error}", page)
        elif one.state == "paused":
            yield Finding("warning", about, f"{one.kind} is paused", page)


def of_silence(about: str, why: str, *, coordinator: bool = False) -> Finding:
    """Of a program that does not answer."""
    page = _RUNBOOK.format("AidbCoordinatorDown" if coordinator else "AidbMemberFailed")
    return Finding("critical" if coordinator else "warning", about, f"it does not answer: {why}", page)


def of_disk(about: str, free: int, size: int) -> Iterator[Finding]:
    """Bytes."""
    if size and free / size < 0.1:
        what = f"{free / size:.0%} of its disk is free"
        severity: Severity = "critical" if free / size < 0.03 else "warning"
        yield Finding(severity, about, what, _RUNBOOK.format("AidbDiskFilling"))


def of_restarts(about: str, restarts: int, failures: int, exit_code: int | None) -> Iterator[Finding]:
    """Of a child of the supervisor; ``failures``: starts in a row that came to nothing."""
    if failures:
        what = f"it does not stay up: {failures} starts failed in a row, the last with exit code {exit_code}"
        yield Finding("critical", about, what, _RUNBOOK.format("AidbRestarting"))
    elif restarts > 2:
        what = f"it was restarted {restarts} times, the last end was with exit code {exit_code}"
        yield Finding("warning", about, what, _RUNBOOK.format("AidbRestarting"))


def as_text(findings: Sequence[Finding]) -> str:
    """For people; the worst first."""
    ordered = sorted(findings, key=lambda one: (one.severity != "critical", one.about))
    lines = [f"{one.severity}  {one.about}: {one.what} ({one.page})" for one in ordered]
    return "\n".join(lines or ["nothing is wrong that this program can see"]) + "\n"
