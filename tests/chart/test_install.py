"""The chart, installed by Helm into a real API server, and the operator under the account that it gets there.

Nothing runs pods there: the operator is a process here, started as its Deployment says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chart.conftest import CHART
from tests.coordinator.process import until
from tests.kubernetes.apiserver import ApiServer
from tools import helm

KUBE = helm.KUBE_VERSION

RELEASE = "aidb"


@dataclass
class Installed:
    """A release in a namespace, that keeps clusters of that namespace alone."""

    server: ApiServer
    namespace: str

    def helm(self, *arguments: str) -> str:
        where = ["--namespace", self.namespace, "--kubeconfig", str(self.server.kubeconfig)]
        return helm.run(*arguments, *where, HOME=str(self.server.folder)).stdout

    def get(self, path: str) -> Any:
        return self.server.request("GET", path)

    def names(self, resource: str) -> list[str]:
        group, _, plural = resource.rpartition("/")
        root = f"/apis/{group}" if group != "v1" else "/api/v1"
        return [
            one["metadata"]["name"]
            for one in self.get(f"{root}/namespaces/{self.namespace}/{plural}")["items"]
        ]


@pytest.fixture(scope="module")
def installed(helm_program: str, apiserver: ApiServer) -> Iterator[Installed]:
    made = Installed(apiserver, apiserver.namespace("chart"))
    # The definitions are there already, from crds/: what Helm has not made it does not touch.
    made.helm(
        "install", RELEASE, CHART, "--set=crds.install=false", f"--set=watchNamespaces={{{made.namespace}}}"
    )
    yield made
    made.helm("uninstall", RELEASE)


def test_it_installs_and_upgrades(installed: Installed) -> None:
    deployment = f"/apis/apps/v1/namespaces/{installed.namespace}/deployments/aidb-operator"
    before = installed.get(deployment)["metadata"]["generation"]
    installed.helm("upgrade", RELEASE, CHART, "--reuse-values", "--set=logLevel=debug")
    after = installed.get(deployment)
    assert after["metadata"]["generation"] == before + 1
    assert "--log-level=debug" in after["spec"]["template"]["spec"]["containers"][0]["args"]


def test_everything_optional_is_taken_by_the_server_too(installed: Installed) -> None:
    everything = Path(__file__).parent / "values" / "everything.yaml"
    rendered = helm.run(
        "template", "all", CHART, f"--values={everything}", f"--namespace={installed.namespace}",
        "--set=crds.install=false", "--set=metrics.serviceMonitor.enabled=false",
        "--set=monitoring.prometheusRule.enabled=false",
        "--no-hooks", KUBE,
    ).stdout  # fmt: skip
    installed.server.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=rendered)


def test_definitions_outlive_the_chart(helm_program: str, apiserver: ApiServer) -> None:
    """A release that took them over from kubectl leaves them, and the clusters in them, when it goes."""
    other = Installed(apiserver, apiserver.namespace("crds"))
    other.helm("install", "other", CHART, "--take-ownership", f"--set=watchNamespaces={{{other.namespace}}}")
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/aidbclusters.aidb.io"
    assert other.get(path)["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    manifest = str(helm.ROOT / "manifests" / "aidbcluster.yaml")
    apiserver.kubectl("apply", "-n", other.namespace, "-f", manifest)
    other.helm("upgrade", "other", CHART, "--reuse-values", "--set=logLevel=debug")
    other.helm("uninstall", "other")
    assert other.names("apps/v1/deployments") == []
    assert "deletionTimestamp" not in other.get(path)["metadata"]
    assert other.names("aidb.io/v1alpha1/aidbclusters") == ["demo"]


@pytest.mark.timeout(600)
def test_the_operator_may_do_what_it_does(installed: Installed, tmp_path: Path) -> None:
    """Under its own account: it makes a cluster's objects, and no call is refused."""
    [container] = installed.get(f"/apis/apps/v1/namespaces/{installed.namespace}/deployments/aidb-operator")[
        "spec"
    ]["template"]["spec"]["containers"]
    arguments = [one for one in container["args"] if not one.startswith("--listen")]
    kubeconfig = installed.server.account_kubeconfig(installed.namespace, "aidb-operator")
    log = tmp_path / "operator.log"
    with log.open("w") as errors:
        operator = subprocess.Popen(
            [sys.executable, "-m", "aidb_operator", *arguments, "--listen=127.0.0.1:0"],
            env={**os.environ, "KUBECONFIG": str(kubeconfig), "POD_NAME": "aidb-operator-0"},
            stderr=errors,
        )
    try:
        manifest = helm.ROOT / "manifests" / "aidbcluster.yaml"
        installed.server.kubectl("apply", "-n", installed.namespace, "-f", str(manifest))
        wanted = {
            "apps/v1/statefulsets": ["demo-0-1", "demo-1-1", "demo-2-1"],
            "apps/v1/deployments": ["demo-coordinator", "demo-router"],
            "aidb.io/v1alpha1/shardgroups": ["demo-0", "demo-1", "demo-2"],
            "rbac.authorization.k8s.io/v1/rolebindings": ["demo-coordinator"],
            "policy/v1/poddisruptionbudgets": ["demo-router"],
            "v1/services": ["demo", "demo-coordinator", "demo-nodes"],
        }

        def all_there() -> bool:
            assert operator.poll() is None, log.read_text()[-3000:]
            return all(set(names) <= set(installed.names(kind)) for kind, names in wanted.items())

        until(all_there, 120)
        until(lambda: "conditions" in _cluster(installed).get("status", {}), 60)
        assert "forbidden" not in log.read_text()
    finally:
        operator.terminate()
        operator.wait(60)


def _cluster(installed: Installed) -> dict[str, Any]:
    found: dict[str, Any] = installed.get(
        f"/apis/aidb.io/v1alpha1/namespaces/{installed.namespace}/aidbclusters/demo"
    )
    return found
