"""Where the blocks of the documents that need pods are run: places, as tests/documents knows them."""

from __future__ import annotations

import shlex
from pathlib import Path

from aidb.local.ports import free_ports
from e2e.harness.cluster import Cluster
from e2e.harness.kubectl import is_ready, until
from e2e.harness.objects import Object, restricted
from e2e.harness.world import World
from tests.documents.places import Place
from tools import helm

# What pages say, and other scenarios, programs and people may have: ports of this machine, a namespace.
_PORTS = (7400, 7401)
_NAMESPACE = "shop"
_CLIENT = "client"
_MOUNTS = ("/aidb", "/var/run/aidb")
_POD_SECONDS = 120.0
_PYTHON_SECONDS = 120.0


def outside(world: World, directory: Path) -> Place:
    """A user's machine: kubectl and helm, with the scenario's namespace where pages have their own, and free
    ports instead of the usual ones.
    """
    place = Place(directory)
    kubectl = world.kubectl
    kubeconfig = place.bin / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(kubectl("config", "view", "--raw", "--flatten", "--minify"))
    for name, program in (("kubectl", kubectl.program), ("helm", helm.find())):
        place.program(name, f'#!/bin/sh\nexec {shlex.quote(program)} "$@"\n')
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    place.environment |= {"KUBECONFIG": str(kubeconfig), "AIDB_ADDRESS": f"127.0.0.1:{ports[7400]}"}
    for usual, port in ports.items():
        place.instead[rf"(?<=127\.0\.0\.1:){usual}\b"] = str(port)
        place.instead[rf"(?<=port-forward )(.*) {usual}\b"] = rf"\1 {port}:{usual}"
    place.instead[rf"(-n |namespace=){_NAMESPACE}\b"] = rf"\g<1>{kubectl.namespace}"
    place.run(f"kubectl config set-context --current --namespace={kubectl.namespace}")
    return place


def inside(world: World, cluster: Cluster, directory: Path) -> Place:
    """A pod of the node image, with what clients of the cluster need mounted where pages say."""
    place = Place(directory)
    place.instead[rf"{cluster.name}\.{_NAMESPACE}\b"] = f"{cluster.name}.{world.kubectl.namespace}"
    world.kubectl.apply(_pod(world, cluster))
    until("the clients' pod", lambda: is_ready(world.kubectl.get("pod", _CLIENT)), _POD_SECONDS)

    def python(text: str) -> str:
        return world.kubectl.exec(_CLIENT, "python3", "-c", text, seconds=_PYTHON_SECONDS).decode()

    place.python = python
    return place


def _pod(world: World, cluster: Cluster) -> Object:
    container: Object = {
        "name": "client",
        "image": world.images.node,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "volumeMounts": [{"name": "tls", "mountPath": path} for path in _MOUNTS],
    }
    spec = restricted(container)
    spec["nodeSelector"] = {"kubernetes.io/hostname": world.safe_node}
    spec["volumes"].append({"name": "tls", "secret": {"secretName": cluster.client_secret}})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": _CLIENT}, "spec": spec}
