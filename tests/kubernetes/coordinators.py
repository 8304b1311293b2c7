"""Coordinators as processes, several for one cluster, with their pods as objects that nobody runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc
from tests.kubernetes.apiserver import ApiServer

# A leader that is gone is replaced after 5 s. One that merely gets no processor for so long is replaced as
# well: no test may rely on who leads, but where nobody has to wait for that (`PATIENT`).
FAST = ("--lease-ms", "3000", "--leader-lease", "5")
PATIENT = ("--lease-ms", "10000", "--leader-lease", "60")


class Coordinator:
    """One of those of cluster `c` in a namespace."""

    def __init__(self, server: ApiServer, namespace: str, name: str, data: Path, *more: str) -> None:
        self.name = name
        self._server = server
        self._namespace = namespace
        self._pod = f"/api/v1/namespaces/{namespace}/pods"
        self.log = data / f"{name}.log"
        self._out = data / f"{name}.out"
        server.request("POST", self._pod, pod(name))
        command = [sys.executable, "-m", "aidb_coordinator", "--data", str(data / name)]
        command += ["--listen", "127.0.0.1:0", "--store", "kubernetes", "--namespace", namespace]
        command += ["--cluster-name", "c", "--identity", name, *FAST, *more]
        with self._out.open("a") as out, self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=log, env={**os.environ, "KUBECONFIG": str(server.kubeconfig)}
            )

    @property
    def addresses(self) -> Sequence[str]:
        """One for each time that it began to lead."""
        return [json.loads(line)["address"] for line in self._out.read_text().splitlines()]

    @property
    def labelled(self) -> bool:
        found: dict[str, Any] = self._server.request("GET", f"{self._pod}/{self.name}")
        return bool(found["metadata"]["labels"].get("aidb.io/leader") == "true")

    def topology(self) -> pb.Topology:
        with grpc.insecure_channel(self.addresses[-1]) as channel:
            view: pb.ClusterView = rpc.DiscoveryStub(channel).GetTopology(
                pb.GetTopologyRequest(), timeout=10, wait_for_ready=True
            )
            return view.topology

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def pod(name: str) -> dict[str, Any]:
    labels = {"aidb.io/cluster": "c", "app.kubernetes.io/component": "coordinator"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "coordinator", "image": "none"}]},
    }
