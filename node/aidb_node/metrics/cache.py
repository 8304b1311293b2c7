"""A replica's cache, and how it follows its primary."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from aidb.v1 import storage_pb2 as pb
from aidb_node.metrics.labels import Labels

_COUNTERS = (
    ("hits", "Reads answered from the cache"),
    ("misses", "Reads that the cache could not answer"),
    ("fills", "Answers of the primary that were cached"),
    ("refused_fills", "Answers that were not cached because an invalidation may have overtaken them"),
    ("evictions", "Entries that went to make room"),
    ("invalidations", "Entries that went because their key was written"),
    ("flushes", "Times that all entries went"),
    ("forwards", "Requests that were forwarded to the primary"),
    ("negative_hits", "Reads answered from the cache that there is no such key"),
    ("coalesced", "Reads that took the answer of another read of the same key"),
    ("gathered", "Forwarded reads that travelled in a call with others"),
    ("updates", "Entries that the stream renewed instead of invalidating them"),
    ("warmed", "Entries that were there before anybody asked for them"),
)


def figures(labels: Labels, cache: pb.CacheStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_cache_entries", "Entries in the cache", cache.entries)
    yield labels.gauge("aidb_cache_size_bytes", "Bytes in the cache", cache.bytes)
    yield labels.gauge("aidb_cache_capacity_bytes", "Bytes that the cache may hold", cache.capacity_bytes)
    for name, text in _COUNTERS:
        yield labels.counter(f"aidb_cache_{name}", text, getattr(cache, name))


def replication(labels: Labels, replication: pb.ReplicationStats, is_replica: bool) -> Iterator[Metric]:
    if not is_replica:
        yield labels.gauge("aidb_subscribers", "Replicas that follow", replication.subscribers)
        return
    yield labels.gauge(
        "aidb_tail_bytes", "Of the primary's log, kept for who takes over", replication.tail_bytes
    )
    yield labels.gauge("aidb_tail_lsn", "Where what is kept of the primary's log ends", replication.tail_lsn)
    yield labels.gauge("aidb_replica_connected", "1 while it follows its primary", replication.connected)
    yield labels.gauge("aidb_replica_applied_lsn", "The newest LSN applied", replication.applied_lsn)
    # Never heard of its primary: unbounded, which JSON and the wire have no number for.
    known = replication.staleness_ms < 1 << 63
    staleness = replication.staleness_ms / 1000 if known else float("inf")
    yield labels.gauge("aidb_replica_staleness_seconds", "How stale the cache may be", staleness)
