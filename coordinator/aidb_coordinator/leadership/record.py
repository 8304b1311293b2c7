"""A Lease of coordination.k8s.io as the election's record, and back. The holder is the pod's name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aidb_coordinator.leadership.election import Record

# The Lease itself has no place for it, and a pod's name outlives its processes.
PROCESS = "aidb.io/process"


def from_lease(lease: dict[str, Any]) -> Record:
    """Raises KeyError, TypeError, ValueError, AttributeError for what is no Lease."""
    metadata, spec = lease["metadata"], lease.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        process=(metadata.get("annotations") or {}).get(PROCESS, ""),
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        acquired_ms=_milliseconds(spec.get("acquireTime")),
        revision=str(metadata["resourceVersion"]),
    )


def to_lease(record: Record, name: str, labels: dict[str, str], now_ms: int) -> dict[str, Any]:
    """What to create, or to merge into the version `record.revision`."""
    metadata: dict[str, Any] = {"name": name, "labels": labels, "annotations": {PROCESS: record.process}}
    if record.revision:
        metadata["resourceVersion"] = record.revision
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": max(1, int(record.duration)),
            "leaseTransitions": record.transitions,
            "acquireTime": _time(record.acquired_ms),
            "renewTime": _time(now_ms),
        },
    }


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _milliseconds(text: str | None) -> int:
    if not text:
        return 0
    return int(datetime.fromisoformat(text).timestamp() * 1000)
