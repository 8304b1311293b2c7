"""What a report finds wrong, and which page it sends people to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aidb.report import findings
from aidb.report.findings import Finding
from aidb.v1 import cluster_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]


def _healthy() -> pb.ClusterStatus:
    member = pb.MemberStatus(member=pb.Member(name="shard-0-primary"), state=pb.MEMBER_HEALTHY)
    replica = pb.MemberStatus(member=pb.Member(name="shard-0-replica-0"), state=pb.MEMBER_HEALTHY)
    shard = pb.ShardStatus(state=pb.SHARD_RUNNING, primary=member, replicas=[replica])
    return pb.ClusterStatus(shards=[shard], routers=[member])


def _sick() -> Iterator[tuple[str, pb.ClusterStatus]]:
    """By a word of what has to be found."""
    for word, change in (
        ("writes fail", {"state": pb.SHARD_STOPPED}),
        ("degraded", {"state": pb.SHARD_DEGRADED}),
        ("incarnation 3", {"successor": pb.SuccessorStatus(successor=pb.Successor(incarnation=3))}),
        ("archive is 90 s behind", {"second_copy": pb.SecondCopy(archive_lag_ms=90_000)}),
        ("refused by the store", {"second_copy": pb.SecondCopy(archive_error="refused by the store")}),
        ("snapshot failed", {"second_copy": pb.SecondCopy(snapshot_error="x")}),
        ("drill failed", {"second_copy": pb.SecondCopy(drill_problem="x")}),
        ("verification failed", {"second_copy": pb.SecondCopy(verify_problem="x")}),
    ):
        status = _healthy()
        status.shards[0].MergeFrom(pb.ShardStatus(**change))
        yield word, status
    status = _healthy()
    status.routers[0].state = pb.MEMBER_FAILED
    yield "failed", status
    status = _healthy()
    status.shards[0].replicas[0].staleness_ms = 60_000
    yield "60 s behind its primary", status


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert list(findings.of_status(_healthy())) == []
    assert list(findings.of_operations([pb.Operation(state="done"), pb.Operation(state="running")])) == []
    assert list(findings.of_disk("d", 50, 100)) == []
    assert list(findings.of_restarts("p", 1, 0, 1)) == []
    assert "nothing is wrong" in findings.as_text([])


@pytest.mark.parametrize(
    ("word", "status"), list(_sick()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_what_is_wrong_is_found(word: str, status: pb.ClusterStatus) -> None:
    (found,) = findings.of_status(status)
    assert word in found.what
    _has_its_page(found)


def test_operations_disks_restarts_and_silence() -> None:
    failed = pb.Operation(id="op-1", kind="add-shard", state="failed", error="no room")
    for found in (
        *findings.of_operations([failed, pb.Operation(state="paused")]),
        *findings.of_disk("d", 5, 100),
        *findings.of_restarts("p", 1, 3, -9),
        *findings.of_restarts("p", 7, 0, 1),
        findings.of_silence("m", "UNAVAILABLE"),
        findings.of_silence("coordinator", "UNAVAILABLE", coordinator=True),
    ):
        _has_its_page(found)
    assert [one.severity for one in findings.of_disk("d", 1, 100)] == ["critical"]


def test_the_worst_comes_first() -> None:
    said = findings.as_text([Finding("warning", "a", "x", "p"), Finding("critical", "b", "y", "p")])
    assert said == "critical  b: y (p)\nwarning  a: x (p)\n"


def _has_its_page(found: Finding) -> None:
    assert (ROOT / found.page).is_file(), found
