"""What one operator costs that looks after many clusters: calls of the API server, memory, CPU.

``--rounds`` is the number of clusters: real objects in a real API server, of which nothing makes pods: so
no coordinator answers and the operator alone is counted. A violation is a call for something that did not
change: while nothing happens, when a spec is applied again, and after the operator was started again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.evidence.load import cpu_us_of
from tests.evidence.report import Report, options
from tests.kubernetes import apiserver
from tests.kubernetes.apiserver import ApiServer

IDLE_SECONDS = 60.0
SETTLE_SECONDS = 600.0
STOP_SECONDS = 300.0
AGAIN = 50
# What an idle cluster may cost a minute, Lease renewals and open watches apart.
MOST_CALLS = 2.0


class Operator:
    """The program, as its own process."""

    def __init__(self, server: ApiServer, namespace: str, log: Path) -> None:
        command = [sys.executable, "-P", "-m", "aidb_operator", "--namespaces", namespace]
        command += ["--image", "aidb-node:evidence", "--listen", "127.0.0.1:0", "--resync", "30"]
        environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
        self._log = log
        with log.open("wb") as to:
            self.process = subprocess.Popen(
                [*apiserver.ends_with_parent(), *command], stdout=to, stderr=to, env=environment
            )
        self.address = _until(self._address, "the operator's address")

    def _address(self) -> str:
        assert self.process.poll() is None, self._log.read_text()
        for line in self._log.read_text().splitlines():
            if "/metrics on " in line:
                return line.rpartition(" ")[2]
        return ""

    def figures(self) -> dict[str, float]:
        """Calls (discovery apart: it is the operator's, once in ten minutes), turns."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = {"calls": 0.0, "turns": 0.0, "failed": 0.0}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "aidb_operator_api_calls_total" and sample.labels["verb"] != "discover":
                    found["calls"] += sample.value
                elif sample.name == "aidb_operator_reconciles_total":
                    found["turns"] += sample.value
                    found["failed"] += sample.value if sample.labels["result"] == "failed" else 0
        return found

    @property
    def resident_mb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024

    def settled(self, turns: int) -> dict[str, float]:
        """When no call was made during so many turns."""
        last = self.figures()

        def quiet() -> bool:
            nonlocal last
            now = self.figures()
            if now["calls"] != last["calls"]:
                last = now
            return now["turns"] >= last["turns"] + turns

        _until(quiet, "turns without a call", SETTLE_SECONDS)
        return last

    def stop(self) -> float:
        """Seconds that it took to end."""
        began = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        return time.monotonic() - began


def _until(holds: Any, what: str, seconds: float = 120.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
    return found


@contextmanager
def running(server: ApiServer, namespace: str, folder: Path, name: str) -> Iterator[Operator]:
    operator = Operator(server, namespace, folder / f"{name}.log")
    try:
        yield operator
    finally:
        operator.stop()


def _spec(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "aidb.io/v1alpha1",
        "kind": "AidbCluster",
        "metadata": {"name": f"db{number}"},
        "spec": {"shards": 3, "replicas": 2},
    }


def _apply(server: ApiServer, namespace: str, number: int) -> None:
    path = f"/apis/aidb.io/v1alpha1/namespaces/{namespace}/aidbclusters/db{number}"
    query = "fieldManager=people&force=true"
    server.request("PATCH", f"{path}?{query}", _spec(number), "application/apply-patch+yaml")


def main() -> int:
    asked = options("clusters")
    report = Report("clusters", asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = apiserver.start(folder / "server")
        try:
            server.apply_crds()
            told = _measure(server, folder, asked.rounds, report)
        finally:
            server.stop()
    print(report.last_line(**told), flush=True)
    return report.exit_code(4)


def _measure(server: ApiServer, folder: Path, clusters: int, report: Report) -> dict[str, object]:
    namespace = server.namespace()
    told: dict[str, object] = {"clusters": clusters}
    with running(server, namespace, folder, "first") as operator:
        told["memory_mb_empty"] = operator.resident_mb
        began = time.monotonic()
        for number in range(clusters):
            _apply(server, namespace, number)
        settled = operator.settled(2 * clusters)
        told["made_seconds"] = f"{time.monotonic() - began:.0f}"
        told["made_calls_per_cluster"] = f"{settled['calls'] / clusters:.1f}"
        told["memory_mb"] = operator.resident_mb
        failed = [f"{settled['failed']:.0f} turns failed"] if settled["failed"] else []
        report.round(f"made {told}", failed)

        before, cpu = operator.figures(), cpu_us_of(operator.process.pid)
        time.sleep(IDLE_SECONDS)
        after = operator.figures()
        calls = after["calls"] - before["calls"]
        per_minute = calls / clusters * 60 / IDLE_SECONDS
        told["idle_calls_per_cluster_minute"] = f"{per_minute:.3f}"
        told["idle_turns_per_cluster_minute"] = f"{(after['turns'] - before['turns']) / clusters:.1f}"
        told["idle_cpu_ms_per_cluster_minute"] = (
            f"{(cpu_us_of(operator.process.pid) - cpu) / 1000 / clusters * 60 / IDLE_SECONDS:.1f}"
        )
        report.round(f"idle {told}", [f"{per_minute:.1f} calls a minute"] if per_minute > MOST_CALLS else [])

        before = operator.figures()
        for _ in range(AGAIN):
            _apply(server, namespace, 0)
        settled = operator.settled(2 * clusters)
        again = settled["calls"] - before["calls"]
        report.round(f"applied {AGAIN} times", [f"{again:.0f} calls"] if again else [])
    with running(server, namespace, folder, "second") as operator:
        settled = operator.settled(2 * clusters)
        told["restart_calls"] = f"{settled['calls']:.0f}"
        report.round("started again", [f"{settled['calls']:.0f} calls"] if settled["calls"] else [])
    return told


if __name__ == "__main__":
    sys.exit(main())
