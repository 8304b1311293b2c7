"""The operator's own account, with what the chart grants and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aidb_operator import permissions

from tests.kubernetes.apiserver import ApiServer, ends_with_parent

NAME = "aidb-operator"
RBAC = "rbac.authorization.k8s.io"


def made(apiserver: ApiServer, namespace: str) -> Path:
    """Its kubeconfig. It keeps the clusters of this namespace."""
    document = permissions.document()
    whole = f"{NAME}-{namespace}"  # of the whole Kubernetes cluster, so its name must be its own
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    core, group = f"/api/v1/namespaces/{namespace}", f"/apis/{RBAC}/v1"

    def create(path: str, name: str, **body: Any) -> None:
        apiserver.request("POST", path, {"metadata": {"name": name}, **body})

    def reference(kind: str, name: str) -> dict[str, Any]:
        return {"roleRef": {"apiGroup": RBAC, "kind": kind, "name": name}, "subjects": [subject]}

    create(f"{core}/serviceaccounts", NAME)
    create(f"{group}/namespaces/{namespace}/roles", NAME, rules=document["namespaced"])
    create(f"{group}/namespaces/{namespace}/rolebindings", NAME, **reference("Role", NAME))
    create(f"{group}/clusterroles", whole, rules=document["clusterWide"])
    create(f"{group}/clusterrolebindings", whole, **reference("ClusterRole", whole))
    return apiserver.account_kubeconfig(namespace, NAME)


@contextmanager
def operator(apiserver: ApiServer, namespace: str, folder: Path) -> Iterator[Path]:
    """As a process, under that account; gives its log. A refused call fails the test."""
    kubeconfig = made(apiserver, namespace)
    log = folder / "operator.log"
    with log.open("wb") as to:
        process = subprocess.Popen(
            [
                *ends_with_parent(),
                *(sys.executable, "-m", "aidb_operator", f"--namespaces={namespace}"),
                *("--image=aidb", "--listen=127.0.0.1:0", "--resync=5"),
            ],
            env={**os.environ, "KUBECONFIG": str(kubeconfig), "POD_NAME": f"{NAME}-0"},
            stdout=to,
            stderr=to,
        )
    try:
        yield log
        assert process.poll() is None, f"the operator ended: {log.read_text()[-4000:]}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
    assert "orbidden" not in log.read_text(), log.read_text()[-4000:]
