"""`aidb status`: the coordinator's view. The JSON shape is stable: fields are added, never changed or
removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aidb.cli import output
from aidb.cli.connection import coordination, found_address
from aidb.cli.exits import Exit, Failure
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import common_pb2 as common


def status(address: str | None, timeout: float, as_json: bool) -> None:
    """Print the cluster's status; hot keys, which are data, only to administrators."""
    address, by = found_address(address)
    found = document(fetch(address, timeout), fetch_hot_keys(address, timeout))
    if as_json:
        output.document(found | {"asked": {"address": address, "by": by}})
        return
    coordinator = found["coordinator"]
    output.line(
        f"cluster {coordinator['cluster_uid']}  coordinator {coordinator['address']}  "
        f"topology {coordinator['topology_version']}  term {coordinator['term']}  "
        f"durability {coordinator['durability']}"
    )
    output.line(f"asked {address}: {by}")
    output.table(("NAME", "STATE", "ADDRESS", "PID", "KEYS", "BYTES", "STALENESS", "REASON"), rows(found))
    _show_hot(found)
    _show_autoscaler(found)


def fetch(address: str, timeout: float) -> pb.ClusterStatus:
    """Raises Failure."""
    with coordination(address) as stub:
        answer: pb.ClusterStatus = stub.GetClusterStatus(pb.GetClusterStatusRequest(), timeout=timeout)
        return answer


def fetch_hot_keys(address: str, timeout: float) -> list[pb.HotKeyStatus] | None:
    """None: this user may not see keys, or the coordinator is older. Raises Failure."""
    try:
        with coordination(address) as stub:
            answer: pb.ListHotKeysResponse = stub.ListHotKeys(pb.ListHotKeysRequest(), timeout=timeout)
            return list(answer.keys)
    except Failure as failure:
        if failure.code in (Exit.DENIED, Exit.BAD_INPUT):
            return None
        raise


def document(status: pb.ClusterStatus, hot_keys: Sequence[pb.HotKeyStatus] | None = None) -> dict[str, Any]:
    """What ``-o json`` prints. ``hot_keys``: null for whom they are not meant."""
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
        "autoscaler": _autoscaler(status.autoscaler),
        "hot_slots": [_hot_slot(hot) for hot in status.hot_slots],
        "hot_keys": None if hot_keys is None else [_hot_key(hot) for hot in hot_keys],
    }


def _autoscaler(status: pb.AutoscalerStatus) -> dict[str, Any]:
    last = status.last
    begun = {
        "at_ms": last.at_ms,
        "what": last.what,
        "operation": last.operation,
        "reasons": list(last.reasons),
    }
    return {
        "mode": status.mode,
        "next": status.next,
        "reasons": list(status.reasons),
        "held": status.held,
        "last": begun if status.HasField("last") else None,
    }


def _show_autoscaler(found: dict[str, Any]) -> None:
    """Where it does, or would do, anything."""
    autoscaler = found["autoscaler"]
    if autoscaler["next"]:
        output.line("")
        output.line(
            f"autoscaler ({autoscaler['mode']}): {autoscaler['next']}, "
            f"because {'; '.join(autoscaler['reasons'])}"
            + (f". Held: {autoscaler['held']}" if autoscaler["held"] else "")
        )
    if autoscaler["last"]:
        output.line(f"autoscaler: the last it began was to {autoscaler['last']['what']}")


def _hot_slot(hot: pb.HotSlot) -> dict[str, Any]:
    return {
        "slot": hot.slot,
        "shard": hot.shard,
        "reads_per_second": hot.reads,
        "writes_per_second": hot.writes,
        "bytes": hot.bytes,
        "part": hot.part_ppm / 1e6,
        "alone": hot.alone,
    }


def _hot_key(hot: pb.HotKeyStatus) -> dict[str, Any]:
    return {
        **output.json_bytes("key", hot.key),
        "keyspace": hot.keyspace,
        "slot": hot.slot,
        "shard": hot.shard,
        "reads_per_second": hot.reads,
        "writes_per_second": hot.writes,
    }


def _show_hot(found: dict[str, Any]) -> None:
    if found["hot_slots"]:
        output.line("")
        output.table(("HOT SLOT", "SHARD", "READS/S", "WRITES/S", "BYTES", "OF ITS SHARD"), _slot_rows(found))
    if found["hot_keys"]:
        output.line("")
        output.table(("HOT KEY", "SLOT", "SHARD", "READS/S", "WRITES/S"), _key_rows(found))


def _slot_rows(found: dict[str, Any]) -> list[list[str]]:
    return [
        [
            str(hot["slot"]),
            str(hot["shard"]),
            f"{hot['reads_per_second']:,}",
            f"{hot['writes_per_second']:,}",
            output.human_bytes(hot["bytes"]),
            f"{hot['part']:.0%}" + (", alone" if hot["alone"] else ""),
        ]
        for hot in found["hot_slots"]
    ]


def _key_rows(found: dict[str, Any]) -> list[list[str]]:
    return [
        [
            output.shown(hot["key"].encode()) if "key" in hot else f"base64 {hot['key_base64']}",
            str(hot["slot"]),
            str(hot["shard"]),
            f"{hot['reads_per_second']:,}",
            f"{hot['writes_per_second']:,}",
        ]
        for hot in found["hot_keys"]
    ]


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
        "load": _load(shard.load) if shard.HasField("load") else None,
    }


def _load(load: pb.ShardLoad) -> dict[str, int]:
    return {
        "reads_per_second": load.reads,
        "writes_per_second": load.writes,
        "age_ms": load.age_ms,
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
