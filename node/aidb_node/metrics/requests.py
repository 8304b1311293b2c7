"""What clients ask for, and how they are served."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from aidb.v1 import storage_pb2 as pb
from aidb_node.metrics.labels import Labels


def of_methods(labels: Labels, stats: pb.GetStatsResponse) -> Iterator[Metric]:
    yield labels.counters(
        "aidb_requests",
        "Requests by how they ended: OK, an error code, CANCELLED (nobody waited), TRANSPORT (gRPC's own). "
        "Each of a pipeline counts; of a batch, the call. Method Other: of all other services",
        ("method", "code"),
        {
            (one.method, code): requests
            for one in stats.methods
            for code, requests in {"OK": 0, **{count.code: count.requests for count in one.codes}}.items()
        },
    )
    yield labels.histograms_us(
        "aidb_request_duration_seconds",
        "From a request's beginning to its answer, in here; of scans, to their end. While there are many, "
        "some are timed, each counted as often as it stands for others",
        ("method",),
        {(one.method,): (one.us_buckets, one.us) for one in stats.methods if one.us_buckets},
    )
    yield labels.gauge("aidb_requests_in_flight", "Until their answers have left", stats.in_flight)
    yield labels.gauge("aidb_in_flight_bytes", "Of these requests and answers", stats.in_flight_bytes)
    yield labels.counter(
        "aidb_observed_requests_dropped",
        "Slow or traced requests that are neither logged nor exported: more came at a time than are kept",
        stats.observed_dropped,
    )


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
