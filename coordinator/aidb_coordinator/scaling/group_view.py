"""Which replicas a ShardGroup is to have, by name. Pure.

A Deployment's pods have names that nobody knows before they are there, and it is the Deployment that decides
which of too many go: the cheapest by their cost of deletion, and of equal ones the youngest. So a name here
is that of a pod that is to stay, or stands for one that is to come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Of a pod, for whoever makes fewer of them; the lowest go first.
COST = "controller.kubernetes.io/pod-deletion-cost"
DOOMED = -1_000
_ENDED = ("Failed", "Succeeded")


@dataclass(frozen=True, slots=True)
class ReplicaPod:
    """`created` as Kubernetes writes times, which sort as texts."""

    name: str
    created: str
    cost: int = 0

    @classmethod
    def of(cls, raw: dict[str, Any]) -> ReplicaPod | None:
        """None: it is ending, or has ended."""
        metadata = raw["metadata"]
        if metadata.get("deletionTimestamp") or raw.get("status", {}).get("phase") in _ENDED:
            return None
        text = (metadata.get("annotations") or {}).get(COST, "0")
        cost = int(text) if text.removeprefix("-").isdecimal() else 0
        return cls(metadata["name"], metadata.get("creationTimestamp", ""), cost)


def names(group: str, count: int, pods: Iterable[ReplicaPod]) -> tuple[str, ...]:
    """So many, oldest first."""
    stay = sorted(pods, key=lambda pod: (-pod.cost, pod.created, pod.name))[:count]
    found = tuple(pod.name for pod in sorted(stay, key=lambda pod: (pod.created, pod.name)))
    return (*found, *(f"({group}: one to come, {number})" for number in range(1, count - len(found) + 1)))
