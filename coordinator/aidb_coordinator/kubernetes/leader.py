"""Which coordinator's pod the Service of the coordinators leads to: the one with the leader's label.

Readiness could not say it: a Deployment counts those that stand by as available, and a Service forgets a pod
whose node is gone later than the next leader begins.
"""

from __future__ import annotations

from aidb_coordinator.kubernetes.api import Api, NotFound, path_of

LABEL = "aidb.io/leader"
_TIMEOUT = 5.0


class LeaderLabel:
    """Methods raise ApiError; they block, and may be repeated."""

    def __init__(self, api: Api, namespace: str, cluster: str, pod: str) -> None:
        self._api = api
        self._namespace = namespace
        self._cluster = cluster
        self._pod = pod

    def take(self) -> None:
        """This pod has it from now on, and no other."""
        selector = f"aidb.io/cluster={self._cluster},app.kubernetes.io/component=coordinator,{LABEL}"
        found = self._api.get(path_of(self._namespace, "pods"), _TIMEOUT, labelSelector=selector)
        names = [pod["metadata"]["name"] for pod in found["items"]]
        for name in names:
            if name != self._pod:
                self._set(name, None)
        if self._pod not in names:
            self._set(self._pod, "true")

    def drop(self) -> None:
        """This pod has it no more: what ran in it before may have led."""
        self._set(self._pod, None)

    def _set(self, pod: str, value: str | None) -> None:
        try:
            self._api.merge(
                path_of(self._namespace, "pods", pod), {"metadata": {"labels": {LABEL: value}}}, _TIMEOUT
            )
        except NotFound:
            if value is not None:
                raise
