from __future__ import annotations

from aidb.operations import plain
from aidb.v1 import storage_pb2 as pb


def test_stats_are_plain_whatever_they_hold() -> None:
    durability = pb.DurabilityStats(archived_lsn=7, tail=[pb.TailMember(name="shard-0-replica-0")])
    message = pb.GetStatsResponse(role="primary", durability=durability)
    found = plain(message)
    assert found["role"] == "primary" and "header" not in found and "engine" not in found
    assert found["durability"]["archived_lsn"] == 7
    assert [member["name"] for member in found["durability"]["tail"]] == ["shard-0-replica-0"]
    assert found["durability"]["requests"] == []
