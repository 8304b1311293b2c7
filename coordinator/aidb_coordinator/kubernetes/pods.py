"""The pods that members of a cluster run in."""

from __future__ import annotations

from aidb_coordinator.kubernetes.api import Api, ApiError, path_of

_TIMEOUT = 5.0


def pods_of(api: Api, namespace: str, cluster: str) -> frozenset[str]:
    """The names of those that are there, whatever their state. Raises OSError."""
    try:
        found = api.get(path_of(namespace, "pods"), _TIMEOUT, labelSelector=f"aidb.io/cluster={cluster}")
    except ApiError as error:
        raise OSError(str(error)) from error
    return frozenset(pod["metadata"]["name"] for pod in found["items"])
