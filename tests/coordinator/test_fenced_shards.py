"""A shard that people fenced: no lease, no primary, no successor; until it is unfenced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from aidb_coordinator import succession, takeover
from aidb_coordinator.health import MemberState, Verdict
from aidb_coordinator.takeover import Decision, Rules
from aidb_coordinator.topology import Shard, TopologyError

from aidb.v1 import cluster_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess, FakeMember
from tests.coordinator.values import primary, topology

GONE = Verdict(MemberState.FAILED, "no heartbeat")
RULES = Rules(enabled=True, grace=1.0, lease=1.0)


def test_it_is_not_taken_over() -> None:
    shard = Shard(0, epoch=3, disk_id="a", primary=primary())
    assert takeover.decide(shard, GONE, 100.0, 100.0, RULES) is Decision.WANT
    fenced = replace(shard, fenced=True)
    assert takeover.decide(fenced, GONE, 100.0, 100.0, RULES) is Decision.NOTHING
    document = replace(topology(1), shards=(fenced,))
    with pytest.raises(TopologyError, match="unfence it first"):
        succession.want(document, 0, planned=False, reason="gone")


def test_its_primary_is_not_renewed_and_may_not_join(tmp_path: Path) -> None:
    coordinator = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", *FAST)
    try:
        member = FakeMember("shard-0-primary", pb.ROLE_PRIMARY, "127.0.0.1:7001")
        member.register(coordinator)
        assert member.heartbeat(coordinator).renewed
        coordinator.coordination.FenceShard(pb.FenceShardRequest(shard=0), timeout=10)
        answer = member.heartbeat(coordinator)
        assert (answer.renewed, answer.register_again) == (False, False)
        with pytest.raises(grpc.RpcError, match="fenced by people"):
            member.register(coordinator)
        assert "fenced" in coordinator.status().shards[0].reason
        with pytest.raises(grpc.RpcError, match="does not exist"):
            coordinator.coordination.FenceShard(pb.FenceShardRequest(shard=9), timeout=10)
        coordinator.coordination.FenceShard(pb.FenceShardRequest(shard=0, unfence=True), timeout=10)
        assert member.heartbeat(coordinator).renewed
        assert {"ShardFenced", "ShardUnfenced"} <= set(coordinator.reasons())
    finally:
        coordinator.kill()
