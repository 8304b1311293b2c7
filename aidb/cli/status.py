"""`aidb status`: the coordinator's view. The JSON shape is stable: fields are added, never changed or
removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import common_pb2 as common


def status(address: str | None, timeout: float, as_json: bool) -> None:
    """Print the cluster's status."""
    found = document(fetch(find_address(address), timeout))
    if as_json:
        output.document(found)
        return
    coordinator = found["coordinator"]
    output.line(
        f"cluster {coordinator['cluster_uid']}  coordinator {coordinator['address']}  "
        f"topology {coordinator['topology_version']}  term {coordinator['term']}  "
        f"durability {coordinator['durability']}"
    )
    output.table(("NAME", "STATE", "ADDRESS", "PID", "KEYS", "BYTES", "STALENESS", "REASON"), rows(found))


def fetch(address: str, timeout: float) -> pb.ClusterStatus:
    """Raises Failure."""
    with coordination(address) as stub:
        answer: pb.ClusterStatus = stub.GetClusterStatus(pb.GetClusterStatusRequest(), timeout=timeout)
        return answer


def document(status: pb.ClusterStatus) -> dict[str, Any]:
    """What ``-o json`` prints."""
    coordinator = {"metrics": status.metrics_address} if status.metrics_address else {}
    return {
        "shards": [_shard(shard) for shard in status.shards],
        "routers": [_member(router) for router in status.routers],
        "coordinator": {
            "address": status.address,
            "pid": status.pid,
            "uptime_ms": status.uptime_ms,
            "cluster_uid": status.cluster_uid,
            "term": status.term,
            "topology_version": status.topology_version,
            "feature_level": status.feature_level,
            "durability": mode_name(status.durability),
            **coordinator,
        },
    }


def rows(found: dict[str, Any]) -> list[list[str]]:
    """The document as a table, one row a shard and one a member."""
    table = []
    for shard in found["shards"]:
        counts = [f"{shard['keys']:,}", output.human_bytes(shard["bytes"]), "", shard["reason"]]
        table.append([f"shard {shard['id']}", shard["state"], "", "", *counts])
        members = [shard["primary"], *shard["replicas"]]
        table += [_row(member, "  ", shard["tail_set"]) for member in members if member is not None]
        if shard["successor"]:
            table.append(_successor_row(shard["successor"]))
    return table + [_row(router, "") for router in found["routers"]]


def _successor_row(successor: dict[str, Any]) -> list[str]:
    what = "hand-over" if successor["planned"] else "takeover"
    state = successor["step"] or "wanted"
    return [f"  incarnation {successor['incarnation']}", what, "", "", "", "", "", state]


def _row(member: dict[str, Any], indent: str, tail_set: Sequence[str] = ()) -> list[str]:
    staleness = f"{member['staleness_ms']} ms" if "staleness_ms" in member else ""
    identity = [indent + member["name"], member["state"], member["address"], str(member["pid"])]
    holds = "keeps the end of the log" if member["name"] in tail_set else ""
    reason = "; ".join(filter(None, (member["reason"], holds)))
    return [*identity, "", "", staleness, reason]


def _shard(shard: pb.ShardStatus) -> dict[str, Any]:
    return {
        "id": shard.id,
        "state": _name(pb.ShardState.Name(shard.state), "SHARD_"),
        "reason": shard.reason,
        "epoch": shard.epoch,
        "slots": shard.slots,
        "keys": shard.keys,
        "bytes": shard.bytes,
        "primary": _member(shard.primary) if shard.HasField("primary") else None,
        "replicas": [_member(replica) for replica in shard.replicas],
        "tail_set": list(shard.tail_set),
        "incarnation": shard.incarnation,
        "successor": _successor(shard.successor) if shard.HasField("successor") else None,
    }


def _successor(status: pb.SuccessorStatus) -> dict[str, Any]:
    successor = status.successor
    return {
        "incarnation": successor.incarnation,
        "planned": successor.planned,
        "reason": successor.reason,
        "epoch": successor.epoch,
        "step": status.step,
        "heard_ms": status.heard_ms,
    }


def _member(status: pb.MemberStatus) -> dict[str, Any]:
    member: dict[str, Any] = {
        "name": status.member.name,
        "address": status.member.address,
        "pid": status.pid,
        "state": _name(pb.MemberState.Name(status.state), "MEMBER_"),
        "reason": status.reason,
        "last_heartbeat_ms": status.last_heartbeat_ms,
    }
    if status.member.role != pb.ROLE_ROUTER:
        member["applied_lsn"] = status.applied_lsn
    if status.member.role == pb.ROLE_REPLICA:
        member["staleness_ms"] = status.staleness_ms
    if status.member.metrics_address:
        member["metrics"] = status.member.metrics_address
    return member


def mode_name(number: int) -> str:
    """``async``, ``replica``, ``archived``."""
    name = common.Durability.Name(number or common.DURABILITY_ASYNC)  # type: ignore[arg-type]
    return name.removeprefix("DURABILITY_").lower()


def _name(constant: str, prefix: str) -> str:
    """``SHARD_RUNNING`` -> ``Running``."""
    return constant.removeprefix(prefix).removeprefix("STATE_").capitalize()
