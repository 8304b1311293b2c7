"""What clients ask for, and how they are served."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from aidb.v1 import storage_pb2 as pb
from aidb_node.metrics.labels import Labels


def connections(labels: Labels, connections: pb.ConnectionStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_connections", "Connections of clients", connections.open)
    yield labels.gauge("aidb_connections_limit", "Connections that there may be", connections.most)
    yield labels.counter(
        "aidb_connections_refused", "Connections closed for want of a place", connections.refused
    )
    yield labels.counter(
        "aidb_connections_overdue", "Connections closed: the client kept them waiting", connections.overdue
    )


def load(labels: Labels, load: pb.LoadStats) -> Iterator[Metric]:
    yield labels.counter("aidb_reads", "Reads of single keys, alone or in batches", load.reads)
    yield labels.counter("aidb_writes", "Writes that were sequenced", load.writes)
    yield labels.histogram_us(
        "aidb_read_seconds", "What one in 32 reads took in here", load.read_us_buckets, load.read_us
    )
