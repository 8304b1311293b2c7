"""Real processes: the coordinator survives its own kill -9, and members with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from aidb import errors
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import common_pb2 as common
from tests.coordinator.process import CoordinatorProcess, FakeMember, StartFailed, until

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


def failure(call: Callable[[], object]) -> tuple[grpc.StatusCode, common.Error]:
    """The status of a call that must fail, and the error in its trailer."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    call_error: Any = caught.value
    trailers = dict(call_error.trailing_metadata())
    return call_error.code(), common.Error.FromString(trailers[errors.TRAILER])


def test_a_killed_replica_leaves_the_read_set_and_returns_when_healthy(
    start: Start, health_server: Any
) -> None:
    coordinator = start()
    server = health_server()
    replica = FakeMember("shard-0-replica-0", pb.ROLE_REPLICA, server.address)
    replica.register(coordinator)
    assert coordinator.member_state(replica.name) == pb.MEMBER_STARTING
    replica.heartbeat(coordinator)
    assert coordinator.member_state(replica.name) == pb.MEMBER_HEALTHY
    version = coordinator.topology().version

    def beats_and_is(state: int) -> bool:
        replica.heartbeat(coordinator)
        return coordinator.member_state(replica.name) == state

    server.stop()
    until(lambda: beats_and_is(pb.MEMBER_FAILED))
    health_server(server.port)
    until(lambda: beats_and_is(pb.MEMBER_HEALTHY))
    assert coordinator.topology().version == version
    reasons = coordinator.reasons()
    assert reasons.count("ReplicaFailed") == reasons.count("ReplicaRecovered") == 1


def test_a_failed_primary_stops_its_shard_with_an_alert(start: Start, health_server: Any) -> None:
    coordinator = start()
    server = health_server()
    primary = FakeMember("shard-0-primary", pb.ROLE_PRIMARY, server.address)
    assert coordinator.status().shards[0].state == pb.SHARD_INITIALIZING
    primary.register(coordinator)
    primary.heartbeat(coordinator, keys=12, bytes=34)
    shard = coordinator.status().shards[0]
    assert (shard.state, shard.keys, shard.bytes, shard.primary.pid) == (pb.SHARD_RUNNING, 12, 34, 4711)
    server.stop()
    until(lambda: coordinator.status().shards[0].state == pb.SHARD_STOPPED)
    alerts = coordinator.coordination.ListEvents(pb.ListEventsRequest(limit=1000), timeout=10).events
    assert [e.severity for e in alerts if e.reason == "PrimaryFailed"] == [pb.Event.SEVERITY_ALERT]


def test_silence_fails_a_member_whose_port_still_answers(start: Start, health_server: Any) -> None:
    coordinator = start()
    replica = FakeMember("shard-1-replica-0", pb.ROLE_REPLICA, health_server().address, shard=1)
    replica.register(coordinator)
    replica.heartbeat(coordinator)
    until(lambda: coordinator.member_state(replica.name) == pb.MEMBER_FAILED)


def test_watchers_get_the_view_at_once_then_changes_and_an_end(start: Start, health_server: Any) -> None:
    coordinator = start("--max-watchers", "1")
    watch = coordinator.discovery.WatchTopology(pb.GetTopologyRequest(), timeout=60)
    views: Iterator[pb.ClusterView] = iter(watch)
    first = next(views)
    assert (first.topology.slot_count, len(first.topology.shards)) == (16384, 3)
    primary = FakeMember("shard-2-primary", pb.ROLE_PRIMARY, health_server().address, shard=2)
    primary.register(coordinator)
    seen = next(view for view in views if view.topology.version > first.topology.version)
    assert seen.topology.shards[2].primary.address == primary.address

    second = coordinator.discovery.WatchTopology(pb.GetTopologyRequest(), timeout=60)
    status, error = failure(lambda: list(second))
    assert (status, error.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, common.BUSY)
    assert error.retryable
    assert error.retry_after_ms > 0

    coordinator.process.terminate()
    status, error = failure(lambda: list(watch))
    assert (status, error.code) == (grpc.StatusCode.UNAVAILABLE, common.SHUTTING_DOWN)
    assert coordinator.process.wait(30) == 0


def test_heartbeats_carry_the_view_only_when_it_is_newer(start: Start, health_server: Any) -> None:
    coordinator = start()
    router = FakeMember("router-0", pb.ROLE_ROUTER, health_server().address)
    router.register(coordinator)
    first = router.heartbeat(coordinator)
    named = {
        "topology_version": first.view.topology.version,
        "health_version": first.view.health.version,
    }
    assert not router.heartbeat(coordinator, **named).HasField("view")
    assert router.heartbeat(coordinator, **{**named, "topology_version": 0}).HasField("view")


def test_refusals_are_typed(start: Start, health_server: Any) -> None:
    coordinator = start()
    primary = FakeMember("shard-0-primary", pb.ROLE_PRIMARY, health_server().address)
    primary.register(coordinator)
    thief = FakeMember("shard-0-primary", pb.ROLE_PRIMARY, primary.address)
    status, error = failure(lambda: thief.register(coordinator))
    assert (status, error.code) == (grpc.StatusCode.FAILED_PRECONDITION, common.REGISTRATION_REFUSED)
    assert primary.disk_id in error.message
    assert not error.retryable
    status, error = failure(lambda: primary.heartbeat(coordinator, cluster_uid="other"))
    assert (status, error.code) == (grpc.StatusCode.FAILED_PRECONDITION, common.WRONG_CLUSTER)
    status, error = failure(lambda: primary.heartbeat(coordinator, term=99))
    assert (status, error.code) == (grpc.StatusCode.ABORTED, common.STALE_TERM)
    for bad in ({"process_id": ""}, {"process_id": "x" * 65}, {"state": 77}):
        status, error = failure(lambda bad=bad: primary.heartbeat(coordinator, **bad))  # type: ignore[misc]
        assert (status, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, common.INVALID_ARGUMENT)
    nobody = FakeMember("x", pb.ROLE_UNKNOWN, "127.0.0.1:1")
    status, error = failure(lambda: nobody.register(coordinator))
    assert (status, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, common.INVALID_ARGUMENT)
    request = pb.GetTopologyRequest(cluster_uid="other")
    status, error = failure(lambda: coordinator.discovery.GetTopology(request, timeout=10))
    assert (status, error.code) == (grpc.StatusCode.FAILED_PRECONDITION, common.WRONG_CLUSTER)


def test_a_stopped_replica_can_be_forgotten(start: Start, health_server: Any) -> None:
    coordinator = start()
    replica = FakeMember("shard-0-replica-0", pb.ROLE_REPLICA, health_server().address)
    replica.register(coordinator)
    leave = pb.LeaveRequest(name=replica.name, process_id=replica.process_id)
    coordinator.coordination.Leave(leave, timeout=10)
    assert coordinator.member_state(replica.name) == pb.MEMBER_LEFT
    coordinator.coordination.Leave(pb.LeaveRequest(name=replica.name, forget=True), timeout=10)
    assert not coordinator.topology().shards[0].replicas


def test_health_and_reflection_are_served(start: Start) -> None:
    coordinator = start()
    health = health_pb2_grpc.HealthStub(coordinator.channel)
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    names = ProtoReflectionDescriptorDatabase(coordinator.channel).get_services()
    assert {"aidb.v1.Discovery", "aidb.v1.Coordination", "grpc.health.v1.Health"} <= set(names)


def test_starts_that_cannot_be_say_why_and_leave_everything_as_it_is(start: Start, tmp_path: Any) -> None:
    running = start("--cluster-uid", "mine")
    data = tmp_path / "coordinator"

    def refused(directory: Any, *arguments: str, listen: str = "127.0.0.1:0") -> str:
        with pytest.raises(StartFailed) as caught:
            CoordinatorProcess(directory, *arguments, listen=listen).kill()
        assert caught.value.code == 2
        lines = caught.value.errors.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    assert "locked" in refused(data)
    fresh = tmp_path / "fresh"
    assert "in use" in refused(fresh, listen=running.address)
    for nonsense in ("nowhere", "127.0.0.1:port", "127.0.0.1:70000"):
        assert "cannot listen" in refused(fresh, listen=nonsense)
    assert not (fresh / "topology.json").exists(), "no cluster was made"
    assert "third" in refused(fresh, "--heartbeat-ms", "9000")
    term = running.topology().term
    assert running.stop() == 0
    assert "belongs to cluster mine" in refused(data, "--cluster-uid", "other")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "precious").write_text("x")
    assert "precious" in refused(foreign)
    again = start()
    assert (again.topology().cluster_uid, again.topology().term) == ("mine", term + 1)
