"""What a node counts, as metrics: `GetStats`, translated at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from aidb.v1 import storage_pb2 as pb

_CACHE_COUNTERS = (
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
        labels = _Labels(("shard", "role"), (self._shard, stats.role))
        yield labels.gauge("aidb_uptime_seconds", "Since the program began", stats.uptime_ms / 1000)
        yield labels.counter("aidb_requests", "Requests let in", stats.requests)
        yield labels.counter("aidb_cpu_seconds", "User and system time of the process", stats.cpu_us / 1e6)
        yield labels.gauge("aidb_resident_memory_bytes", "Memory of the process", stats.memory_bytes)
        yield from _connections(labels, stats.connections)
        if stats.HasField("load"):
            yield from _load(labels, stats.load)
        if stats.HasField("engine"):
            yield labels.gauge("aidb_keys", "Live keys, roughly", stats.keys)
            yield labels.gauge("aidb_data_size_bytes", "Bytes on disk", stats.bytes)
            yield from _engine(labels, stats.engine)
        if stats.HasField("durability"):
            yield from _durability(labels, stats.durability)
            yield from _tail_set(labels, stats.durability)
        if stats.HasField("moves"):
            yield from _moves(labels, stats.moves)
        if stats.HasField("cache"):
            yield from _cache(labels, stats.cache)
        if stats.HasField("router"):
            for name, text in _ROUTER_COUNTERS:
                yield labels.counter(f"aidb_router_{name}", text, getattr(stats.router, name))
        if stats.HasField("replication"):
            yield from _replication(labels, stats.replication, is_replica=stats.HasField("cache"))


def _connections(labels: _Labels, connections: pb.ConnectionStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_connections", "Connections of clients", connections.open)
    yield labels.gauge("aidb_connections_limit", "Connections that there may be", connections.most)
    yield labels.counter(
        "aidb_connections_refused", "Connections closed for want of a place", connections.refused
    )
    yield labels.counter(
        "aidb_connections_overdue", "Connections closed: the client kept them waiting", connections.overdue
    )


def _load(labels: _Labels, load: pb.LoadStats) -> Iterator[Metric]:
    yield labels.counter("aidb_reads", "Reads of single keys, alone or in batches", load.reads)
    yield labels.counter("aidb_writes", "Writes that were sequenced", load.writes)
    yield labels.histogram_us(
        "aidb_read_seconds", "What one in 32 reads took in here", load.read_us_buckets, load.read_us
    )


def _engine(labels: _Labels, engine: pb.EngineStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_memtable_bytes", "Bytes in memtables", engine.memtable_bytes)
    yield labels.gauge("aidb_visible_lsn", "The newest LSN that reads see", engine.visible_lsn)
    yield labels.gauge("aidb_synced_lsn", "The newest LSN on disk", engine.synced_lsn)
    yield labels.gauge("aidb_epoch", "The shard's epoch", engine.epoch)
    yield labels.by_level("aidb_level_bytes", "Bytes of a level's tables", engine.level_bytes)
    yield labels.by_level("aidb_level_files", "Tables of a level", engine.level_files)
    yield labels.counter("aidb_flushed_bytes", "Bytes of tables written by flushes", engine.flushed_bytes)
    yield labels.counter(
        "aidb_compacted_bytes", "Bytes of tables written by compactions", engine.compacted_bytes
    )
    yield labels.counter("aidb_block_cache_hits", "Blocks found in memory", engine.block_cache_hits)
    yield labels.counter("aidb_block_cache_misses", "Blocks read from disk", engine.block_cache_misses)
    yield labels.gauge("aidb_stalled", "1 while writers are slowed or wait", bool(engine.stalled))
    yield labels.gauge("aidb_poisoned", "1 once the store refuses writes", bool(engine.poisoned))


def _moves(labels: _Labels, moves: pb.MoveStats) -> Iterator[Metric]:
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


def _durability(labels: _Labels, durability: pb.DurabilityStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_archived_lsn", "The newest LSN in the archive", durability.archived_lsn)
    lag = durability.archive_lag_ms / 1000
    yield labels.gauge("aidb_archive_lag_seconds", "Age of the oldest log that the archive lacks", lag)
    yield labels.gauge("aidb_archive_lag_bytes", "Log that the archive lacks", durability.archive_lag_bytes)
    failing = bool(durability.archive_error)
    yield labels.gauge("aidb_archive_failing", "1 while the newest attempt to archive failed", failing)
    yield labels.counter("aidb_archive_objects", "Pieces of the log created", durability.archive_objects)
    yield labels.counter("aidb_archive_bytes", "Bytes of the log archived", durability.archive_bytes)
    yield labels.counter("aidb_archive_gaps", "Times that log was lost", durability.archive_gaps)
    yield labels.gauge("aidb_object_store_fenced", "1 if a second create is refused", durability.fenced)
    yield labels.counter(
        "aidb_snapshots_ended", "Snapshots that ended, well or not", durability.snapshots_ended
    )
    failed = bool(durability.snapshot_error)
    yield labels.gauge("aidb_snapshot_failing", "1 while the newest snapshot failed", failed)
    taken = durability.snapshot_at_ms / 1000
    yield labels.gauge("aidb_snapshot_timestamp_seconds", "When the newest snapshot was taken", taken)
    yield labels.gauge("aidb_snapshot_lsn", "The LSN of the newest snapshot", durability.snapshot_lsn)
    done = durability.snapshot_bytes_done
    yield labels.gauge("aidb_snapshot_done_bytes", "Of the snapshot that is being made", done)
    yield labels.gauge(
        "aidb_snapshot_total_bytes", "Of the snapshot that is being made", durability.snapshot_bytes
    )
    yield from _check(labels, "verify", "reading of all objects", durability.verify)
    yield from _check(labels, "drill", "restore that was compared with the source", durability.drill)
    requests = durability.requests
    yield labels.by_operation(
        "aidb_object_requests",
        "Requests to the object store",
        {one.operation: one.requests for one in requests},
    )
    yield labels.by_operation(
        "aidb_object_request_failures",
        "Of these, those that failed",
        {one.operation: one.failures for one in requests},
    )
    yield labels.by_operation(
        "aidb_object_bytes",
        "Bytes of bodies, received or sent",
        {one.operation: one.bytes for one in requests},
    )


def _check(labels: _Labels, name: str, text: str, check: pb.CheckStats) -> Iterator[Metric]:
    yield labels.gauge(
        f"aidb_{name}_timestamp_seconds", f"End of the newest {text}; 0 = none yet", check.at_ms / 1000
    )
    yield labels.gauge(f"aidb_{name}_failing", f"1 if the newest {text} found damage", bool(check.problem))
    yield labels.gauge(f"aidb_{name}_lsn", f"Through which the newest {text} found all well", check.lsn)
    yield labels.gauge(f"aidb_{name}_seconds", f"How long the newest {text} took", check.took_ms / 1000)


def _tail_set(labels: _Labels, durability: pb.DurabilityStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_held_lsn", "Through which writes of mode replica are safe", durability.held_lsn)
    yield labels.gauge(
        "aidb_durability_waiting", "Requests that wait for the archive or the tail set", durability.waiting
    )
    members = [one for one in durability.tail if one.member]
    yield labels.gauge("aidb_tail_members", "Replicas that keep the log's end", len(members))
    lag = max((one.lag_ms for one in members), default=0) / 1000
    yield labels.gauge("aidb_tail_lag_seconds", "Of the member that is furthest behind", lag)


def _cache(labels: _Labels, cache: pb.CacheStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_cache_entries", "Entries in the cache", cache.entries)
    yield labels.gauge("aidb_cache_size_bytes", "Bytes in the cache", cache.bytes)
    yield labels.gauge("aidb_cache_capacity_bytes", "Bytes that the cache may hold", cache.capacity_bytes)
    for name, text in _CACHE_COUNTERS:
        yield labels.counter(f"aidb_cache_{name}", text, getattr(cache, name))


def _replication(labels: _Labels, replication: pb.ReplicationStats, is_replica: bool) -> Iterator[Metric]:
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


class _Labels:
    def __init__(self, names: tuple[str, ...], values: tuple[str, ...]) -> None:
        self._names = names
        self._values = values

    def gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=self._names)
        family.add_metric(self._values, float(value))
        return family

    def counter(self, name: str, text: str, value: float) -> Metric:
        """The format adds ``_total`` to the name."""
        family = CounterMetricFamily(name, text, labels=self._names)
        family.add_metric(self._values, float(value))
        return family

    def histogram_us(self, name: str, text: str, counts: Sequence[int], sum_us: int) -> Metric:
        """Bucket i: less than 2^i microseconds; the last has no end."""
        family = HistogramMetricFamily(name, text, labels=self._names)
        sums = list(accumulate(counts))
        bounds = [*(str(2**power / 1e6) for power in range(len(sums) - 1)), "+Inf"]
        family.add_metric(self._values, list(zip(bounds, sums, strict=False)), sum_us / 1e6)
        return family

    def by_level(self, name: str, text: str, values: Iterable[float]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=(*self._names, "level"))
        for level, value in enumerate(values):
            family.add_metric((*self._values, str(level)), float(value))
        return family

    def by_operation(self, name: str, text: str, values: dict[str, int]) -> Metric:
        family = CounterMetricFamily(name, text, labels=(*self._names, "operation"))
        for operation, value in values.items():
            family.add_metric((*self._values, operation), float(value))
        return family
