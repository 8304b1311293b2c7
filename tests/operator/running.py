"""An operator in this process, against the API server of the tests."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aidb_operator.operating import Operator, Options

from aidb.options import Tls
from tests.kubernetes.apiserver import ApiServer, Refused

IMAGE = "aidb-node:test"


@contextmanager
def operator(
    apiserver: ApiServer, *namespaces: str, kubeconfig: Any = None, resync: float = 5.0
) -> Iterator[Operator]:
    """Of these namespaces."""
    client = apiserver.client(kubeconfig)
    made = Operator(Options(namespaces=namespaces, image=IMAGE, listen="127.0.0.1:0", resync=resync), client)
    thread = threading.Thread(target=made.run, name="operator")
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join(30)
        client.close()
        assert not thread.is_alive(), "the operator does not end"


def until(holds: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """What it returns when that is true; not found counts as not yet."""
    end = time.monotonic() + seconds
    found: Any = None
    while time.monotonic() < end:
        try:
            found = holds()
        except Refused as error:
            if error.code != 404:
                raise
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}; last {found!r}")


def calls(made: Operator) -> int:
    """Of the API server, watches and discovery apart."""
    return _total(made, "aidb_operator_api_calls_total", lambda labels: labels["verb"] != "discover")


def turns(made: Operator) -> int:
    return _total(made, "aidb_operator_reconciles_total", lambda labels: True)


def _total(made: Operator, name: str, counts: Callable[[dict[str, str]], bool]) -> int:
    samples = (sample for metric in made.metrics.collect() for sample in metric.samples)
    return int(sum(one.value for one in samples if one.name == name and counts(one.labels)))


CLUSTERS = "/apis/aidb.io/v1alpha1/namespaces/{}/aidbclusters"


def make(apiserver: ApiServer, namespace: str, name: str = "db", **spec: Any) -> None:
    body = {
        "apiVersion": "aidb.io/v1alpha1",
        "kind": "AidbCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(spec),
    }
    apiserver.request("POST", CLUSTERS.format(namespace), body)


def get(apiserver: ApiServer, namespace: str, what: str) -> Any:
    """`what`: plural/name, of the groups that the tests look at."""
    plural = what.partition("/")[0]
    group = {
        "statefulsets": "/apis/apps/v1",
        "deployments": "/apis/apps/v1",
        "poddisruptionbudgets": "/apis/policy/v1",
        "shardgroups": "/apis/aidb.io/v1alpha1",
        "aidbclusters": "/apis/aidb.io/v1alpha1",
    }.get(plural, "/api/v1")
    return apiserver.request("GET", f"{group}/namespaces/{namespace}/{what}")


def patch(apiserver: ApiServer, namespace: str, name: str = "db", **spec: Any) -> None:
    """Of a cluster's spec."""
    path = f"{CLUSTERS.format(namespace)}/{name}"
    apiserver.request("PATCH", path, {"spec": spec}, "application/merge-patch+json")


def client_tls(apiserver: ApiServer, namespace: str, folder: Path, name: str = "db") -> Tls:
    """What an administrator connects with, as the Secret would be mounted."""
    data = get(apiserver, namespace, f"secrets/{name}-client-tls")["data"]
    folder.mkdir()
    for file, content in data.items():
        (folder / file).write_bytes(base64.b64decode(content))
    return Tls(folder, token_file=folder / "token")
