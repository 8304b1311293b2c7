"""The Kubernetes that the tests run on, and what may be done to its machines."""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import NoReturn

import pytest

from e2e.harness.kubectl import Kubectl, condition, until

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "kube" / "kube"
KIND_CLUSTER = "aidb-e2e"
NODES = 3
_START_SECONDS, _LOAD_SECONDS = 600.0, 600.0


class Machine(ABC):
    """``kubeconfig``, ``kubectl``: how to reach it. What it cannot do, skips the test that asks for it."""

    kubeconfig: Path
    kubectl: str

    def client(self, namespace: str) -> Kubectl:
        return Kubectl(self.kubectl, self.kubeconfig, namespace)

    def nodes(self) -> list[str]:
        """Names of those that pods run on."""
        found = self.client("default").items("nodes")
        return sorted(
            node["metadata"]["name"]
            for node in found
            if not any(taint["effect"] == "NoSchedule" for taint in node["spec"].get("taints", []))
        )

    def wait_nodes(self, seconds: float = 120.0) -> None:
        """Until all nodes are Ready."""
        nodes = self.client("default")
        until(
            "all nodes Ready",
            lambda: all(condition(node, "Ready") == "True" for node in nodes.items("nodes")),
            seconds,
        )

    def has(self, images: list[str]) -> bool:
        """Whether all nodes say that they have them; they may have them and not say so yet."""
        for node in self.client("default").items("nodes"):
            there = {name for image in node["status"].get("images", []) for name in image.get("names", [])}
            if not there.issuperset(images):
                return False
        return True

    @abstractmethod
    def load(self, archive: Path) -> None:
        """Brings an image to all nodes."""

    def s3_image(self, folder: Path) -> tuple[str, Path | None]:
        """The image of an S3 server, and its archive if it has to be loaded."""
        del folder
        return "docker.io/versity/versitygw:v1.8.0", None

    def power_off(self, node: str) -> None:
        self._cannot(f"switch {node} off")

    def power_on(self, node: str) -> None:
        self._cannot(f"switch {node} on")

    def cut(self, node: str) -> None:
        """Nobody reaches the node; what runs there runs on."""
        self._cannot(f"cut {node} off")

    def heal(self, node: str) -> None:
        self._cannot(f"connect {node} again")

    def restart(self, component: str) -> None:
        """Kills ``etcd`` or ``kube-apiserver``, which starts again."""
        self._cannot(f"restart {component}")

    def free_volumes(self) -> None:  # noqa: B027 (the usual classes of volumes see to it themselves)
        """Released volumes can be claimed again."""

    def _cannot(self, what: str) -> NoReturn:
        pytest.skip(f"{type(self).__name__} cannot {what}")


class Given(Machine):
    """Somebody's cluster: $KUBECONFIG. $E2E_LOAD is a command that brings an image archive to its nodes."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = Path(kubeconfig)
        self.kubectl = _program("kubectl")

    def load(self, archive: Path) -> None:
        command = os.environ.get("E2E_LOAD")
        if not command:
            raise RuntimeError(f"E2E_LOAD does not say how {archive} gets to the cluster of KUBECONFIG")
        subprocess.run([*command.split(), str(archive)], check=True, timeout=_LOAD_SECONDS)


class Shared(Machine):
    """Namespaces instead of machines, where there is no container engine."""

    def __init__(self) -> None:
        # On a machine that is busy with other things a healthy node is silent for longer.
        os.environ.setdefault("KUBE_NODE_GRACE_SECONDS", "30")
        self.kubeconfig = Path(self._kube("up", "--nodes", str(NODES)).split()[-1])
        home = Path(os.environ.get("KUBE_HOME", Path.home() / ".cache" / "kube"))
        self.kubectl = str(home / "bin" / "kubectl")
        default = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
        self.client("default").patch("storageclass", "local-ssd", {"metadata": default})

    def load(self, archive: Path) -> None:
        self._kube("load", str(archive))

    def s3_image(self, folder: Path) -> tuple[str, Path | None]:
        name, archive = "localhost/versitygw:1", folder / "versitygw.tar"
        go = subprocess.run(
            ["go", "env", "GOPATH"], capture_output=True, text=True, check=True
        ).stdout.strip()
        program = shutil.which("versitygw", path=f"{os.environ['PATH']}:{go}/bin:{ROOT}/target/tools")
        if program is None:
            raise RuntimeError("versitygw is not installed: make evidence-objects does it")
        self._kube("image", str(archive), name, f"{program}:/versitygw", "--entrypoint", "/versitygw")
        return name, archive

    def power_off(self, node: str) -> None:
        self._kube("node-stop", _number(node))

    def power_on(self, node: str) -> None:
        self._kube("node-start", _number(node))

    def cut(self, node: str) -> None:
        self._kube("node-cut", _number(node))

    def heal(self, node: str) -> None:
        self._kube("node-heal", _number(node))

    def restart(self, component: str) -> None:
        self._kube("restart", component)

    def free_volumes(self) -> None:
        self._kube("pv-free")

    def _kube(self, *arguments: str) -> str:
        done = subprocess.run(
            [SHARED, *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=_START_SECONDS
        )
        return done.stdout


class Kind(Machine):
    """Containers instead of machines: e2e/kind.yaml."""

    def __init__(self) -> None:
        self.kubectl = _program("kubectl")
        self.kubeconfig = ROOT / "target" / "e2e" / "kind.kubeconfig"
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        named = ["--name", KIND_CLUSTER, "--kubeconfig", str(self.kubeconfig)]
        have = self._run("kind", "get", "clusters").split()
        if KIND_CLUSTER in have:
            self._run("kind", "export", "kubeconfig", *named)
        else:
            self._run("kind", "create", "cluster", *named, "--config", str(ROOT / "e2e" / "kind.yaml"))

    def load(self, archive: Path) -> None:
        self._run("kind", "load", "image-archive", str(archive), "--name", KIND_CLUSTER)

    def power_off(self, node: str) -> None:
        self._run("docker", "kill", node)

    def power_on(self, node: str) -> None:
        self._run("docker", "start", node)

    def cut(self, node: str) -> None:
        self._run("docker", "network", "disconnect", "kind", node)

    def heal(self, node: str) -> None:
        self._run("docker", "network", "connect", "kind", node)

    def restart(self, component: str) -> None:
        self._run("docker", "exec", f"{KIND_CLUSTER}-control-plane", "pkill", "-9", "-x", component)

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=_START_SECONDS)
        return done.stdout


def machine() -> Machine:
    """$KUBECONFIG, else the one beside this repository, else kind."""
    if given := os.environ.get("KUBECONFIG"):
        return Given(given)
    if SHARED.exists():
        return Shared()
    return Kind()


def _number(node: str) -> str:
    return node.rpartition("-")[2]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not on the PATH")
    return found
