"""Writes docs/reference/metrics.md from what the programs' collectors give. `--check`: only compares.

Each collector is asked once with every part of its input there, so that every metric is among its answers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aidb_coordinator.archive import TopologyArchive
from aidb_coordinator.scaling.operation import Kind, Operation, Phase, State
from aidb_coordinator.scaling.progress import OperationProgress
from aidb_coordinator.service.metrics import ClusterCollector
from aidb_coordinator.service.operations import ScalingStatus
from aidb_coordinator.service.scaling_metrics import ScalingCollector
from aidb_node.metrics import NodeCollector
from aidb_node.metrics.backup import BackupCollector
from aidb_node.metrics.disk import DiskCollector
from aidb_node.moves.figures import Figures, MoveCollector
from aidb_operator.metrics import Metrics as OperatorMetrics
from google.protobuf.message import Message
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from aidb.security.server import SecurityCollector
from aidb.v1 import cluster_pb2, storage_pb2

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("docs") / "reference" / "metrics.md"
_SUFFIX = {"counter": "_total"}
_HEAD = """# Metrics

Made by `make gen` from the programs. Every program serves them with `--metrics HOST:PORT` at `/metrics`, in
Kubernetes on port 9400; where security is on, to clients with a certificate and a token for `monitor`
([security](../security.md)). Counting is part of serving and cannot be turned off; a scrape waits for nobody.

Alerts on them: `monitoring/alerts/aidb.yaml`; what to do then: [runbooks](../runbooks/README.md).

| metric | type | labels | of | |
|---|---|---|---|---|
"""


@dataclass(slots=True)
class Known:
    """One metric, and which programs have it."""

    kind: str
    text: str
    labels: tuple[str, ...]
    programs: list[str] = field(default_factory=list)


def collectors() -> dict[str, tuple[Collector, ...]]:
    """By program."""
    figures = Figures()
    security = SecurityCollector(lambda: (0, 0, 0.0))
    return {
        "primary": (
            _node("primary", "load", "engine", "durability", "moves", "replication"),
            MoveCollector(figures, 0),
            DiskCollector(ROOT, 0),
            BackupCollector(lambda: 0.0, 0.0, 0),
            security,
        ),
        "replica": (_node("replica", "load", "cache", "replication"), security),
        "router": (_node("router", "router"), security),
        "coordinator": (ClusterCollector(_cluster), ScalingCollector(_scaling), _archive(), security),
        "operator": (_operator(),),
    }


def known() -> dict[str, Known]:
    """By the name that queries use; a histogram's is without its suffixes."""
    found: dict[str, Known] = {}
    for program, of_program in collectors().items():
        for metric in _metrics(of_program):
            name = metric.name + _SUFFIX.get(metric.type, "")
            seen = found.setdefault(name, Known(metric.type, metric.documentation, _labels(metric)))
            assert seen.kind == metric.type, name
            seen.programs.append(program)
    return dict(sorted(found.items()))


def page() -> str:
    rows = []
    for name, metric in known().items():
        cells = (f"`{name}`", metric.kind, ", ".join(metric.labels), ", ".join(metric.programs), metric.text)
        rows.append(f"| {' | '.join(cells)} |\n")
    return _HEAD + "".join(rows)


def _metrics(of_program: tuple[Collector, ...]) -> Iterator[Metric]:
    for collector in of_program:
        yield from collector.collect()


def _labels(metric: Metric) -> tuple[str, ...]:
    names = dict.fromkeys(name for sample in metric.samples for name in sample.labels)
    return tuple(name for name in names if name != "le")


def _node(role: str, *parts: str) -> NodeCollector:
    stats = storage_pb2.GetStatsResponse(role=role)
    stats.methods.add(method="Get", us_buckets=[0, 1]).codes.add(code="OK", requests=1)
    for part in parts:
        message: Message = getattr(stats, part)
        message.SetInParent()
    if "engine" in parts:
        stats.engine.level_bytes.append(0)
        stats.engine.level_files.append(0)
    if "durability" in parts:
        stats.durability.requests.add(operation="get")
    return NodeCollector(stats.SerializeToString, "0")


def _cluster() -> cluster_pb2.ClusterStatus:
    status = cluster_pb2.ClusterStatus()
    shard = status.shards.add()
    shard.load.SetInParent()
    shard.successor.successor.SetInParent()
    return status


def _scaling() -> ScalingStatus:
    operation = Operation("id", Kind.ADD_SHARD, (0,), State.RUNNING, Phase.PLANNING, 0, 0)
    return ScalingStatus(((operation, OperationProgress()),), ())


def _archive() -> Collector:
    # Nothing of it but its figures: there is no store.
    archive = TopologyArchive.__new__(TopologyArchive)
    archive.archived_version, archive.error = 0, ""
    return archive


def _operator() -> OperatorMetrics:
    metrics = OperatorMetrics(lambda: 0.0, lambda: 1, lambda: True)
    metrics.called("patch", "Pod", 200)
    return metrics


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    path = ROOT / PAGE
    if parser.parse_args().check:
        if path.exists() and path.read_text() == page():
            return 0
        print(f"{PAGE} is not what the programs have: run `make gen`", file=sys.stderr)
        return 1
    path.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
