"""Calls of the Kubernetes API, with the distinction that matters to whoever writes: was it done, was it not,
or does nobody know.

The official client brings the connection: configuration, certificates, tokens that are renewed. Its own
retries are off, because a write that is sent twice looks like somebody else's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
CONNECT_SECONDS = 3.0
_MOST_TOLD = 300


class ApiError(Exception):
    """The message says what was asked for and what came of it."""


class NotFound(ApiError):
    """There is no such object."""


class Changed(ApiError):
    """The object is not at the version that was named, or is there already: nothing was done."""


class Refused(ApiError):
    """Not allowed, or wrong: nothing was done, and asking again is no use until somebody mends it."""


class NoAnswer(ApiError):
    """It may have been done, or may be done yet."""


class NotConfigured(Exception):
    """There is no API server to talk to. The message says what to do."""


class Api:
    """Methods raise ApiError. They block, and may be called from several threads. Times in seconds."""

    def __init__(self, connection: client.ApiClient) -> None:
        connection.configuration.retries = False
        self._connection = client.ApiClient(connection.configuration)

    @classmethod
    def configured(cls) -> Api:
        """By $KUBECONFIG, else as a pod's service account, else by ~/.kube/config. Raises NotConfigured."""
        found = client.Configuration()
        try:
            if os.environ.get("KUBECONFIG") or "KUBERNETES_SERVICE_HOST" not in os.environ:
                config.load_kube_config(client_configuration=found)
            else:
                config.load_incluster_config(client_configuration=found)
        except (config.ConfigException, OSError) as error:
            raise NotConfigured(
                f"cannot reach a Kubernetes API server: {error}; run in a pod with a service account, or set "
                "KUBECONFIG"
            ) from error
        return cls(client.ApiClient(found))

    def get(self, path: str, timeout: float, **query: str) -> Object:
        return self._call("GET", path, timeout, query=query)

    def create(self, path: str, body: Object, timeout: float) -> Object:
        return self._call("POST", path, timeout, body=body)

    def merge(self, path: str, body: Object, timeout: float) -> Object:
        """A merge patch; with `metadata.resourceVersion` in it, of exactly that version."""
        return self._call("PATCH", path, timeout, body=body, content=MERGE)

    def delete(self, path: str, timeout: float) -> Object:
        return self._call("DELETE", path, timeout)

    def watch(self, path: str, timeout: float, **query: str) -> Watch:
        """`timeout`: without an event for so long it ends."""
        query = {**query, "watch": "true"}
        return Watch(path, self._send("GET", path, (CONNECT_SECONDS, timeout), query=query))

    def close(self) -> None:
        self._connection.close()

    def _call(
        self,
        method: str,
        path: str,
        timeout: float,
        *,
        body: Object | None = None,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        limits = (min(timeout, CONNECT_SECONDS), timeout)
        response = self._send(method, path, limits, body=body, content=content, query=query)
        try:
            answer: Object = json.loads(response.data)
            return answer
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise NoAnswer(f"{method} {path}: the answer was cut off: {error}") from error
        finally:
            response.release_conn()

    def _send(
        self,
        method: str,
        path: str,
        limits: tuple[float, float],
        *,
        body: Object | None = None,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer, unread."""
        connection = self._connection
        headers = {"Accept": "application/json", "Content-Type": content, **connection.default_headers}
        asked = f"{path}?{urlencode(query)}" if query else path
        try:
            connection.update_params_for_auth(headers, [], ["BearerToken"])
            return connection.rest_client.request(
                method,
                connection.configuration.host + asked,
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=limits,
            )
        except ApiException as error:
            raise _failure(f"{method} {path}", error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswer(f"{method} {path}: {error}") from error


class Watch:
    """Iterates over (type, object). `close` may be called by another thread, and ends it."""

    def __init__(self, path: str, response: Any) -> None:
        self._path = path
        self._response = response

    def __iter__(self) -> Iterator[tuple[str, Object]]:
        """Ends when the server ends it. Raises NoAnswer."""
        rest = b""
        try:
            for chunk in self._response.stream(amt=None, decode_content=False):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    yield event["type"], event["object"]
        except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise NoAnswer(f"watch of {self._path}: {error}") from error

    def close(self) -> None:
        try:
            self._response.shutdown()
        except (ValueError, OSError, RuntimeError):
            return  # it has ended

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc: object) -> None:
        self._response.close()


def path_of(namespace: str, plural: str, name: str = "", *, group: str = "", version: str = "v1") -> str:
    """Of an object, or of all of its kind. `name` may go on to a subresource."""
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    path = f"{root}/namespaces/{quote(namespace)}/{plural}"
    return f"{path}/{quote(name)}" if name else path


def _failure(asked: str, error: ApiException) -> ApiError:
    status = int(error.status or 0)
    message = f"{asked}: {status} {_said(error)}"
    if status == 404:
        return NotFound(message)
    if status == 409:
        return Changed(message)
    # 429: not done, but perhaps in a moment, as after no answer.
    if 400 <= status < 500 and status not in (408, 429):
        return Refused(message)
    return NoAnswer(message)


def _said(error: ApiException) -> str:
    try:
        text = str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        text = str(error.reason)
    return text[:_MOST_TOLD]


def running_pod_namespace() -> str:
    """Of the pod that this is; empty elsewhere."""
    try:
        return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()
    except OSError:
        return ""
