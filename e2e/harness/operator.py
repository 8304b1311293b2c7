"""The operator, installed by its chart."""

from __future__ import annotations

import os
import subprocess

from e2e.harness.cluster import Cluster
from e2e.harness.images import Images
from e2e.harness.kubectl import Kubectl, is_ready, until
from e2e.harness.machine import ROOT, Machine
from tools import helm

NAMESPACE = "aidb-system"
RELEASE = "aidb"
CHART = os.environ.get("E2E_CHART", str(ROOT / "helm" / "aidb"))
SELECTOR = "app.kubernetes.io/component=operator"
_HELM_SECONDS = 180


class Operator:
    """The release of the chart. ``kubectl``: in its namespace."""

    def __init__(self, machine: Machine, images: Images) -> None:
        self.kubectl: Kubectl = machine.client(NAMESPACE)
        self._kubeconfig = machine.kubeconfig
        self._images = images

    def install(self, *values: str) -> None:
        """Or upgrades to what is built now. ``values``: name=value, of the chart."""
        repository, _, tag = self._images.operator.rpartition(":")
        node, _, node_tag = self._images.node.rpartition(":")
        self.helm(
            "upgrade", "--install", RELEASE, CHART, "--create-namespace",
            "--set", f"image.repository={repository}", "--set", f"image.tag={tag}",
            "--set", "image.pullPolicy=IfNotPresent",
            "--set", f"nodeImage.repository={node}", "--set", f"nodeImage.tag={node_tag}",
            *(item for value in values for item in ("--set", value)),
        )  # fmt: skip
        self.wait()

    def test(self, cluster: Cluster) -> str:
        """`helm test` with a cluster; what it says. Raises RuntimeError."""
        self.install(
            f"tests.cluster.name={cluster.name}",
            f"tests.cluster.namespace={cluster.kubectl.namespace}",
            f"tests.cluster.tls={str(cluster.client_secret is not None).lower()}",
        )
        return self.helm("test", RELEASE, "--timeout", "120s")

    def wait(self, seconds: float = 180.0) -> None:
        until("the operator", lambda: any(map(is_ready, self.pods())), seconds)

    def pods(self) -> list[dict[str, object]]:
        return self.kubectl.items("pods", SELECTOR)

    def kill(self) -> None:
        """Without a goodbye."""
        self.kubectl("delete", "pod", f"--selector={SELECTOR}", "--grace-period=0", "--force", "--wait=false")

    def restart(self) -> None:
        """As an upgrade does: another pod of the same release."""
        self.kubectl("rollout", "restart", f"deployment/{RELEASE}-operator")
        self.kubectl("rollout", "status", f"deployment/{RELEASE}-operator", "--timeout=180s", seconds=190)

    def helm(self, *arguments: str) -> str:
        command = [helm.find(), f"--kubeconfig={self._kubeconfig}", f"--namespace={NAMESPACE}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_HELM_SECONDS)
        if done.returncode:
            raise RuntimeError(f"helm {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout
