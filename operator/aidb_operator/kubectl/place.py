"""Where the cluster is: kubeconfig, context, namespace; and reading its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes import client as official
from kubernetes import config as configuration

from aidb.cli.exits import Exit, Failure
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.api import Api, ApiError
from aidb_operator.kubernetes.kinds import Kind, Raw


@dataclass(frozen=True, slots=True)
class Place:
    """`client` is the official one. Methods raise Failure."""

    client: Any
    api: Api
    namespace: str

    def get(self, kind: Kind, name: str) -> Raw:
        try:
            return self.api.get(kind, self.namespace, name)
        except ApiError as error:
            raise self._failure(kind, name, error) from error

    def all(self, kind: Kind, selector: str = "") -> list[Raw]:
        """In order of their names. `selector`: of labels."""
        try:
            found = self.api.listed(kind, self.namespace, selector)
        except ApiError as error:
            raise failure(error) from error
        return sorted(found, key=lambda one: str(one["metadata"]["name"]))

    def create(self, kind: Kind, body: Raw) -> Raw:
        try:
            return self.api.create(kind, self.namespace, body)
        except ApiError as error:
            raise failure(error) from error

    def patch(self, kind: Kind, name: str, body: Mapping[str, Any], subresource: str = "") -> Raw:
        try:
            return self.api.patch(kind, self.namespace, name, dict(body), subresource=subresource)
        except ApiError as error:
            raise self._failure(kind, name, error) from error

    def cluster(self, name: str | None) -> Raw:
        """The only one of the namespace, if no name is given."""
        if name is not None:
            return self.get(kinds.CLUSTER, name)
        found = self.all(kinds.CLUSTER)
        if len(found) != 1:
            listed = ", ".join(one["metadata"]["name"] for one in found) or "no AidbCluster"
            raise Failure(f"namespace {self.namespace} has {listed}: name one", Exit.BAD_INPUT)
        return found[0]

    def _failure(self, kind: Kind, name: str, error: ApiError) -> Failure:
        if error.gone:
            return Failure(f"there is no {kind.name} {name} in namespace {self.namespace}", Exit.NOT_FOUND)
        return failure(error)


def place(kubeconfig: str | None, context: str | None, namespace: str | None) -> Place:
    """As kubectl finds it. Raises Failure."""
    loaded = official.Configuration()
    try:
        configuration.load_kube_config(kubeconfig, context, loaded)
        contexts, current = configuration.list_kube_config_contexts(kubeconfig)
    except (configuration.ConfigException, OSError, yaml.YAMLError) as error:
        raise Failure(f"kubeconfig: {error}", Exit.BAD_INPUT) from error
    chosen = next((one for one in contexts if one["name"] == context), current)
    client = official.ApiClient(loaded)
    found = namespace or chosen.get("context", {}).get("namespace") or "default"
    return Place(client, Api(client), found)


def failure(error: ApiError) -> Failure:
    """What a refusal means."""
    if error.status in (401, 403):
        return Failure(str(error), Exit.DENIED)
    if error.status in (400, 422):
        return Failure(str(error), Exit.BAD_INPUT)
    return Failure(str(error), Exit.UNAVAILABLE if error.status in (0, 429, 503, 504) else Exit.ERROR)
