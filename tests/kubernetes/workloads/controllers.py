"""What Kubernetes' controllers would do, as far as our workloads need it. Pure: objects in, requests out.

A Deployment's pods are its own, without a ReplicaSet between them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Raw = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """To the API server. What is there already, or gone already, is as well."""

    method: str
    path: str
    body: Any = None
    content: str = "application/merge-patch+json"


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """A label selector; an empty one selects all, none nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(one, labels) for one in selector.get("matchExpressions") or ())


def _matches(requirement: Raw, labels: Mapping[str, str]) -> bool:
    key, values = requirement["key"], requirement.get("values") or ()
    match requirement["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def owner(raw: Raw) -> str | None:
    """The uid of what controls it."""
    return next(
        (one["uid"] for one in raw["metadata"].get("ownerReferences", ()) if one.get("controller")), None
    )


def deleted(raw: Raw) -> bool:
    return "deletionTimestamp" in raw["metadata"]


def ready(pod: Raw) -> bool:
    found = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", ())}
    return found.get("Ready") == "True" and not deleted(pod)


def template_hash(workload: Raw) -> str:
    text = json.dumps(workload["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def stateful_set(workload: Raw, pods: Sequence[Raw], claims: Mapping[str, Raw]) -> list[Request]:
    """Its pods by number, their claims, and its status."""
    metadata, spec = workload["metadata"], workload["spec"]
    own = {pod["metadata"]["name"]: pod for pod in pods if owner(pod) == metadata["uid"]}
    taken = {pod["metadata"]["name"] for pod in pods}
    revision = f"{metadata['name']}-{template_hash(workload)}"
    made: list[Request] = []
    wanted = 0 if deleted(workload) else spec.get("replicas", 1)
    for number in range(wanted):
        name = f"{metadata['name']}-{number}"
        pod = own.get(name)
        if pod is None:
            if name in taken:
                continue
            volumes = []
            for claim in spec.get("volumeClaimTemplates", ()):
                claim_name = f"{claim['metadata']['name']}-{name}"
                volumes.append(
                    {
                        "name": claim["metadata"]["name"],
                        "persistentVolumeClaim": {"claimName": claim_name},
                    }
                )
                if claim_name not in claims:
                    made.append(_claim(workload, claim, claim_name))
            labels = {
                "statefulset.kubernetes.io/pod-name": name,
                "apps.kubernetes.io/pod-index": str(number),
                "controller-revision-hash": revision,
            }
            made.append(_pod(workload, name, labels, volumes))
        elif not deleted(pod) and pod["metadata"]["labels"]["controller-revision-hash"] != revision:
            made.append(_delete(pod))
    for name, pod in own.items():
        if int(name.rpartition("-")[2]) >= wanted and not deleted(pod):
            made.append(_delete(pod))
    updated = [
        pod
        for pod in own.values()
        if pod["metadata"]["labels"]["controller-revision-hash"] == revision and not deleted(pod)
    ]
    count = sum(map(ready, own.values()))
    made += _status(
        workload,
        {
            "observedGeneration": metadata["generation"],
            "replicas": len(own),
            "readyReplicas": count,
            "availableReplicas": count,
            "currentReplicas": len(updated),
            "updatedReplicas": len(updated),
            "currentRevision": revision,
            "updateRevision": revision,
        },
    )
    return made


def deployment(workload: Raw, pods: Sequence[Raw]) -> list[Request]:
    """One more at a time while templates change, none less."""
    metadata, spec = workload["metadata"], workload["spec"]
    own = [pod for pod in pods if owner(pod) == metadata["uid"]]
    live = [pod for pod in own if not deleted(pod)]
    revision = template_hash(workload)
    wanted = 0 if deleted(workload) else spec.get("replicas", 1)
    new = [pod for pod in live if pod["metadata"]["labels"]["pod-template-hash"] == revision]
    old = [pod for pod in live if pod["metadata"]["labels"]["pod-template-hash"] != revision]
    made: list[Request] = []
    room = wanted + (1 if old else 0) - len(live)
    for _ in range(min(wanted - len(new), room)):
        name = f"{metadata['name'][: 58 - 17]}-{revision}-{secrets.token_hex(3)[:5]}"
        made.append(_pod(workload, name, {"pod-template-hash": revision}, ()))
    # Those that are not ready go first, then the old ones, as far as enough are ready without them.
    unready = [pod for pod in old if not ready(pod)]
    spare = sum(map(ready, live)) - wanted
    going = [*unready, *[pod for pod in old if ready(pod)][: max(0, spare)]]
    if len(new) > wanted:
        by_use = sorted(new, key=lambda pod: (ready(pod), pod["metadata"]["creationTimestamp"]))
        going += by_use[: len(new) - wanted]
    made += [_delete(pod) for pod in going]
    count = sum(map(ready, live))
    status = {
        "observedGeneration": metadata["generation"],
        "replicas": len(live),
        "readyReplicas": count,
        "availableReplicas": count,
        "updatedReplicas": len(new),
        "unavailableReplicas": max(0, wanted - count),
    }
    made += _status(workload, status)
    return made


def budget(raw: Raw, pods: Sequence[Raw]) -> list[Request]:
    """How many pods may be evicted now."""
    spec = raw["spec"]
    chosen = [pod for pod in pods if selects(spec.get("selector"), pod["metadata"].get("labels", {}))]
    healthy = sum(map(ready, chosen))
    expected = len([pod for pod in chosen if not deleted(pod)])
    desired = spec["minAvailable"] if "minAvailable" in spec else expected - spec["maxUnavailable"]
    return _status(
        raw,
        {
            "observedGeneration": raw["metadata"]["generation"],
            "expectedPods": expected,
            "currentHealthy": healthy,
            "desiredHealthy": max(0, desired),
            "disruptionsAllowed": max(0, healthy - max(0, desired)) if expected else 0,
        },
    )


def claim(raw: Raw, pods: Iterable[Raw]) -> list[Request]:
    """Bound at once; it goes when no pod uses it any more."""
    path = object_path(raw)
    if deleted(raw):
        name = raw["metadata"]["name"]
        used = any(
            volume.get("persistentVolumeClaim", {}).get("claimName") == name
            for pod in pods
            for volume in pod["spec"].get("volumes", ())
        )
        if used or not raw["metadata"].get("finalizers"):
            return []
        return [Request("PATCH", path, {"metadata": {"finalizers": None}})]
    if raw.get("status", {}).get("phase") == "Bound":
        return []
    size = raw["spec"]["resources"]["requests"]["storage"]
    return [
        Request(
            "PATCH",
            f"{path}/status",
            {
                "status": {
                    "phase": "Bound",
                    "capacity": {"storage": size},
                    "accessModes": raw["spec"]["accessModes"],
                }
            },
        )
    ]


FOREGROUND = "foregroundDeletion"


def collected(objects: Sequence[Raw]) -> list[Request]:
    """The garbage collector: what nothing controls any more, or what only waits for it to go."""
    going = {one["metadata"]["uid"] for one in objects if FOREGROUND in one["metadata"].get("finalizers", ())}
    there = {one["metadata"]["uid"] for one in objects}
    parts = {owner(one) for one in objects}
    made = [
        _delete(one)
        for one in objects
        if (controller := owner(one)) and controller not in there - going and not deleted(one)
    ]
    for one in objects:
        if one["metadata"]["uid"] in going - parts:
            rest = [name for name in one["metadata"]["finalizers"] if name != FOREGROUND]
            made.append(Request("PATCH", object_path(one), {"metadata": {"finalizers": rest}}))
    return made


def object_path(raw: Raw) -> str:
    version, metadata = raw["apiVersion"], raw["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = PLURALS.get(raw["kind"], raw["kind"].lower() + "s")
    return f"{root}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


PLURALS = {"NetworkPolicy": "networkpolicies"}


def _claim(workload: Raw, template: Raw, name: str) -> Request:
    namespace = workload["metadata"]["namespace"]
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": template["metadata"].get("labels", {})},
        "spec": template["spec"],
    }
    return Request("POST", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", body, "application/json")


def _pod(workload: Raw, name: str, labels: Mapping[str, str], volumes: Sequence[Raw]) -> Request:
    metadata, template = workload["metadata"], workload["spec"]["template"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {**template["metadata"].get("labels", {}), **labels},
            "annotations": template["metadata"].get("annotations", {}),
            "ownerReferences": [
                {
                    "apiVersion": workload["apiVersion"],
                    "kind": workload["kind"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            **template["spec"],
            "volumes": [*template["spec"].get("volumes", ()), *volumes],
        },
    }
    return Request("POST", f"/api/v1/namespaces/{metadata['namespace']}/pods", body, "application/json")


def _delete(raw: Raw) -> Request:
    return Request("DELETE", object_path(raw), {"preconditions": {"uid": raw["metadata"]["uid"]}})


def _status(raw: Raw, status: Raw) -> list[Request]:
    before = raw.get("status", {})
    # The API server keeps no zeros.
    if all((before.get(key) or 0) == (value or 0) for key, value in status.items()):
        return []
    return [Request("PATCH", f"{object_path(raw)}/status", {"status": status})]
