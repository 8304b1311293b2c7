"""Real processes: the coordinator survives its own kill -9, and members with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aidb.v1 import cluster_pb2 as pb
from tests.coordinator.process import CoordinatorProcess, FakeMember

Start = Callable[..., CoordinatorProcess]


def test_kill_and_restart_keeps_uid_table_and_epochs_and_raises_the_term(
    start: Start, health_server: Any
) -> None:
    first = start("--shards", "3")
    address = health_server().address
    primary = FakeMember("shard-0-primary", pb.ROLE_PRIMARY, address)
    replica = FakeMember("shard-0-replica-0", pb.ROLE_REPLICA, address)
    assert primary.register(first).epoch == 1
    assert replica.register(first).epoch == 0
    assert primary.heartbeat(first).renewed
    before = first.topology()
    first.kill()

    second = start(listen=first.address)
    after = second.topology()
    assert after.term > before.term
    before.term = after.term
    assert after == before
    assert second.member_state(replica.name) == pb.MEMBER_UNKNOWN, "readable until it had a chance to report"
    answer = primary.heartbeat(second)
    assert answer.renewed and not answer.register_again, "the lease goes on without a new registration"
    assert answer.term == after.term
    status = second.status()
    assert status.shards[0].epoch == 1
    assert status.shards[0].primary.pid == 4711, "the pid comes with the heartbeat"
    assert second.stop() == 0
