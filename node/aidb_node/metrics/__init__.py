"""What a node counts, as metrics: `GetStats`, translated at each scrape.

Names are stable once released; `docs/reference/metrics.md` is generated from what lies here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from aidb.v1 import storage_pb2 as pb
from aidb_node.metrics import cache, durability, engine, requests
from aidb_node.metrics.labels import Labels

_ROUTER_COUNTERS = (
    ("hedges", "Second reads sent because the first took long"),
    ("hedges_won", "Second reads that were answered first"),
    ("hedges_denied", "Second reads not sent for want of budget"),
    ("ejections", "Times a replica was left alone because it failed or was far slower than its siblings"),
)


class NodeCollector(Collector):
    """``stats`` gives the encoded `GetStatsResponse`; all metrics are labelled with shard and role."""

    def __init__(self, stats: Callable[[], bytes], shard: str) -> None:
        self._stats = stats
        self._shard = shard

    def collect(self) -> Iterator[Metric]:
        stats = pb.GetStatsResponse.FromString(self._stats())
        labels = Labels(("shard", "role"), (self._shard, stats.role))
        yield labels.gauge("aidb_uptime_seconds", "Since the program began", stats.uptime_ms / 1000)
        yield labels.counter("aidb_cpu_seconds", "User and system time of the process", stats.cpu_us / 1e6)
        yield labels.gauge("aidb_resident_memory_bytes", "Memory of the process", stats.memory_bytes)
        yield from requests.of_methods(labels, stats)
        yield from requests.connections(labels, stats.connections)
        if stats.HasField("load"):
            yield from requests.load(labels, stats.load)
        if stats.HasField("engine"):
            age = stats.evidence_age_ms / 1000
            yield labels.gauge(
                "aidb_lease_age_seconds", "Since the newest evidence of ownership was asked for", age
            )
            yield labels.gauge("aidb_keys", "Live keys, roughly", stats.keys)
            yield labels.gauge("aidb_data_size_bytes", "Bytes on disk", stats.bytes)
            yield from engine.figures(labels, stats.engine)
        if stats.HasField("durability"):
            yield from durability.archive(labels, stats.durability)
            yield from durability.backups(labels, stats.durability)
            yield from durability.checks(labels, stats.durability)
            yield from durability.tail_set(labels, stats.durability)
            yield from durability.object_store(labels, stats.durability)
        if stats.HasField("moves"):
            yield from _moves(labels, stats.moves)
        if stats.HasField("cache"):
            yield from cache.figures(labels, stats.cache)
        if stats.HasField("router"):
            for name, text in _ROUTER_COUNTERS:
                yield labels.counter(f"aidb_router_{name}", text, getattr(stats.router, name))
        if stats.HasField("replication"):
            yield from cache.replication(labels, stats.replication, is_replica=stats.HasField("cache"))


def _moves(labels: Labels, moves: pb.MoveStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_moves_leaving", "Slot moves that have their source here", moves.leaving)
    delay = moves.delay_ms / 1000
    yield labels.gauge("aidb_move_write_delay_seconds", "Writes of slots that leave are held back", delay)
    yield labels.gauge("aidb_move_parked_now", "Requests that wait for the end of a fence", moves.parked)
    yield labels.counter(
        "aidb_move_parked", "Requests that waited for the end of a fence", moves.parked_before
    )
    yield labels.gauge(
        "aidb_hidden_keys", "Keys of slots on their way here, not among keys", moves.hidden_keys
    )
