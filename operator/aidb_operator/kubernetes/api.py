"""Calls to the API server, with objects as they are: dictionaries.

Reads are none of its business: what is seen comes from the watches, so that an idle cluster costs no calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import urllib3
from kubernetes import client as official
from kubernetes import config as configuration
from kubernetes.client.exceptions import ApiException

from aidb_operator.kubernetes.kinds import Kind, Raw, kind_of
from aidb_operator.names import FIELD_MANAGER

TIMEOUT_SECONDS = 10.0
Counted = Callable[[str, str, int], None]


class ApiError(Exception):
    """The API server refused, or was not reached (`status` 0)."""

    def __init__(self, what: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{what}: {message or reason}")
        self.status = status
        self.reason = reason

    @property
    def gone(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409


def connect() -> Any:
    """A client of the cluster that this runs in, else of $KUBECONFIG. Raises ConfigException."""
    loaded = official.Configuration()
    loaded.retries = urllib3.Retry(total=0)
    try:
        configuration.load_incluster_config(client_configuration=loaded)
    except configuration.ConfigException:
        configuration.load_kube_config(client_configuration=loaded)
    loaded.connection_pool_maxsize = 16
    return official.ApiClient(loaded)


class Api:
    """Thread-safe. `counted(verb, kind, status)` is told of each call. Methods raise ApiError."""

    def __init__(self, client: Any, counted: Counted = lambda verb, kind, status: None) -> None:
        self._client = client
        self._counted = counted

    def apply(self, wanted: Raw, *, subresource: str = "", manager: str = FIELD_MANAGER) -> Raw:
        """Server-side apply: fields that it named before and does not name now go. Answers what then is."""
        kind, metadata = kind_of(wanted), wanted["metadata"]
        return self._call(
            "apply",
            "PATCH",
            kind.name,
            kind.path(metadata.get("namespace", ""), metadata["name"], subresource),
            wanted,
            query=[("fieldManager", manager), ("force", "true")],
            content="application/apply-patch+yaml",
        )

    def patch(self, kind: Kind, namespace: str, name: str, body: Raw, *, subresource: str = "") -> Raw:
        """Merge patch."""
        return self._call(
            "patch",
            "PATCH",
            kind.name,
            kind.path(namespace, name, subresource),
            body,
            query=[("fieldManager", FIELD_MANAGER)],
            content="application/merge-patch+json",
        )

    def scale(self, kind: Kind, namespace: str, name: str, replicas: int) -> None:
        self.patch(kind, namespace, name, {"spec": {"replicas": replicas}}, subresource="scale")

    def create(self, kind: Kind, namespace: str, body: Raw) -> Raw:
        return self._call(
            "create",
            "POST",
            kind.name,
            kind.path(namespace),
            body,
            query=[("fieldManager", FIELD_MANAGER)],
            content="application/json",
        )

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str,
        propagation: str = "",
        grace: int | None = None,
    ) -> bool:
        """The object of that uid and no other. False when it is gone already."""
        body: Raw = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if propagation:
            body["propagationPolicy"] = propagation
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            self._call("delete", "DELETE", kind.name, kind.path(namespace, name), body)
        except ApiError as error:
            # A conflict is another uid: the object that was meant is gone.
            if error.gone or error.conflict:
                return False
            raise
        return True

    def get(self, kind: Kind, namespace: str, name: str) -> Raw:
        """For what is not watched."""
        return self._call("get", "GET", kind.name, kind.path(namespace, name), None)

    def listed(self, kind: Kind, namespace: str, selector: str = "") -> list[Raw]:
        """All of a namespace, or those with these labels. For people's commands: the operator watches."""
        found: list[Raw] = []
        token = ""
        while True:
            asked = {"limit": "500", "labelSelector": selector, "continue": token}
            query = [(name, value) for name, value in asked.items() if value]
            page = self._call("list", "GET", kind.name, kind.path(namespace), None, query=query)
            found += page.get("items", ())
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return found

    def resources(self, api_version: str) -> frozenset[str]:
        """The plurals that the server serves of a group's version; none of one that it does not know."""
        path = f"/apis/{api_version}"
        try:
            found = self._call("discover", "GET", "APIResourceList", path, None)
        except ApiError as error:
            if error.gone:
                return frozenset()
            raise
        return frozenset(one["name"] for one in found.get("resources", ()))

    def _call(
        self,
        verb: str,
        method: str,
        kind: str,
        path: str,
        body: Raw | None,
        *,
        query: list[tuple[str, str]] | None = None,
        content: str = "application/json",
    ) -> Raw:
        status = 0
        try:
            response = self._client.call_api(
                path,
                method,
                query_params=query or [],
                header_params={"Content-Type": content, "Accept": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=TIMEOUT_SECONDS,
            )
            status = response.status
            answer: Raw = json.loads(response.data)
            return answer
        except ApiException as error:
            status = error.status or 0
            raise _error(f"cannot {verb} {kind} at {path}", error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(f"cannot {verb} {kind} at {path}", 0, "Unreachable", str(error)) from error
        finally:
            self._counted(verb, kind, status)


def _error(what: str, error: Any) -> ApiError:
    try:
        body = json.loads(error.body or "{}")
    except ValueError:
        body = {}
    reason = str(body.get("reason") or error.reason or "")
    return ApiError(what, error.status or 0, reason, str(body.get("message") or ""))
