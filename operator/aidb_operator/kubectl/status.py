"""`status`: what `kubectl get` has in several tables, in one."""

from __future__ import annotations

from typing import Any

from aidb.cli import output
from aidb.cli.parameters import Output
from aidb_operator.kubectl.place import Place
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw

# Of backups and of restores, the newest.
_SHOWN = 5


def status(place: Place, name: str | None, how: Output) -> None:
    """Raises Failure."""
    cluster = place.cluster(name)
    name = cluster["metadata"]["name"]
    groups, backups, restores = (
        [one for one in place.all(kind) if one["spec"].get("cluster") == name]
        for kind in (kinds.SHARD_GROUP, kinds.BACKUP, kinds.RESTORE)
    )
    groups.sort(key=lambda one: int(one["spec"].get("shard", 0)))
    if how is Output.JSON:
        output.document(
            {
                "cluster": _document(cluster),
                "shards": list(map(_document, groups)),
                "backups": list(map(_document, backups)),
                "restores": list(map(_document, restores)),
            }
        )
        return
    _head(place.namespace, cluster)
    rows = [
        (one["type"], one["status"], one["reason"], " ".join(one.get("message", "").split())[:120])
        for one in cluster.get("status", {}).get("conditions", ())
    ]
    print()
    output.table(("CONDITION", "STATUS", "REASON", "MESSAGE"), rows)
    print()
    columns = ("SHARD", "READY", "PRIMARY", "NODE", "EPOCH", "SLOTS", "KEYS", "SIZE", "REPLICAS")
    output.table(columns, map(_shard, groups))
    if ended := [_ended(one) for found in (backups, restores) for one in _newest(found)]:
        print()
        output.table(("KIND", "NAME", "STATUS", "TIME", "SIZE"), ended)


def _head(namespace: str, cluster: Raw) -> None:
    told = cluster.get("status", {})
    version = f"version {told['version']}" if told.get("version") else ""
    parts = (f"AidbCluster {namespace}/{cluster['metadata']['name']}", told.get("phase"), version)
    print("  ".join(filter(None, parts)))
    for label, field in (("endpoint", "endpoint"), ("coordinator", "coordinator"), ("doing", "operation")):
        if told.get(field):
            print(f"  {label}: {told[field]}")


def _shard(group: Raw) -> tuple[str, ...]:
    told = group.get("status", {})
    ready = next((one["status"] for one in told.get("conditions", ()) if one["type"] == "Ready"), "Unknown")
    return (
        str(group["spec"].get("shard", "")),
        ready,
        *(str(told.get(field, "")) for field in ("primary", "node", "epoch", "slots", "keys")),
        output.human_bytes(int(told.get("bytes", 0))),
        f"{told.get('readyReplicas', 0)}/{group['spec'].get('replicas', 0)}",
    )


def _newest(found: list[Raw]) -> list[Raw]:
    return sorted(found, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))[-_SHOWN:]


def _ended(raw: Raw) -> tuple[str, ...]:
    told = raw.get("status", {})
    size = output.human_bytes(int(told["bytes"])) if "bytes" in told else ""
    return raw["kind"], raw["metadata"]["name"], told.get("phase", ""), told.get("time", ""), size


def _document(raw: Raw) -> dict[str, Any]:
    return {"name": raw["metadata"]["name"], "spec": raw.get("spec", {}), "status": raw.get("status", {})}
