"""Kubernetes objects that several tests need."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def namespace(name: str) -> Object:
    """One that only takes pods of the restricted level: what the operator makes has to be of it."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "aidb-e2e": "true"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def restricted(container: Object) -> Object:
    """A pod's spec around it: nobody's user, a root that is read-only, a /tmp."""
    container.setdefault("volumeMounts", []).append({"name": "tmp", "mountPath": "/tmp"})
    container["securityContext"] = CONFINED
    return {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
