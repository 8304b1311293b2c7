"""The store of a primary."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from aidb.v1 import storage_pb2 as pb
from aidb_node.metrics.labels import Labels


def figures(labels: Labels, engine: pb.EngineStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_memtable_bytes", "Bytes in memtables", engine.memtable_bytes)
    yield labels.gauge("aidb_log_bytes", "Bytes of the log on disk", engine.log_bytes)
    yield labels.gauge("aidb_visible_lsn", "The newest LSN that reads see", engine.visible_lsn)
    yield labels.gauge("aidb_synced_lsn", "The newest LSN on disk", engine.synced_lsn)
    yield labels.gauge("aidb_epoch", "The shard's epoch", engine.epoch)
    for name, text, of_levels in (
        ("bytes", "Bytes of a level's tables", engine.level_bytes),
        ("files", "Tables of a level", engine.level_files),
    ):
        values = ((str(level), value) for level, value in enumerate(of_levels))
        yield labels.gauges(f"aidb_level_{name}", text, "level", values)
    yield labels.counter("aidb_flushed_bytes", "Bytes of tables written by flushes", engine.flushed_bytes)
    yield labels.counter(
        "aidb_compacted_bytes", "Bytes of tables written by compactions", engine.compacted_bytes
    )
    yield labels.gauge(
        "aidb_compaction_debt_bytes", "Bytes that levels hold beyond their targets", engine.debt_bytes
    )
    yield labels.counter("aidb_block_cache_hits", "Blocks found in memory", engine.block_cache_hits)
    yield labels.counter("aidb_block_cache_misses", "Blocks read from disk", engine.block_cache_misses)
    yield labels.histogram_us(
        "aidb_log_sync_seconds",
        "Syncs of the log, one for a group of writes",
        engine.sync_us_buckets,
        engine.sync_us,
    )
    yield labels.counter(
        "aidb_stalls", "Groups of writes that backpressure slowed, kept waiting or refused", engine.stalls
    )
    yield labels.counter("aidb_stall_seconds", "For how long it did", engine.stall_us / 1e6)
    yield labels.gauge("aidb_stalled", "1 while writers are slowed or wait", bool(engine.stalled))
    yield labels.gauge("aidb_poisoned", "1 once the store refuses writes", bool(engine.poisoned))
