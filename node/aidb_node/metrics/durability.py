"""The second copy of a shard: archive, snapshots (backups), checks, and the log's end in the tail set."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from aidb.v1 import storage_pb2 as pb
from aidb_node.metrics.labels import Labels


def archive(labels: Labels, durability: pb.DurabilityStats) -> Iterator[Metric]:
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


def backups(labels: Labels, durability: pb.DurabilityStats) -> Iterator[Metric]:
    yield labels.gauge(
        "aidb_backup_last_success_timestamp_seconds",
        "When the newest snapshot was taken, by whichever process; 0 = there is none",
        durability.snapshot_at_ms / 1000,
    )
    yield labels.counter(
        "aidb_backups_ended", "Snapshots that ended, well or not", durability.snapshots_ended
    )
    failed = bool(durability.snapshot_error)
    yield labels.gauge("aidb_backup_failing", "1 while the newest snapshot failed", failed)
    yield labels.gauge("aidb_backup_running", "1 while one is made", durability.snapshot_running)
    yield labels.gauge("aidb_backup_lsn", "The LSN of the newest snapshot", durability.snapshot_lsn)
    done = durability.snapshot_bytes_done
    yield labels.gauge("aidb_backup_done_bytes", "Of the snapshot that is being made, what is there", done)
    yield labels.gauge(
        "aidb_backup_total_bytes", "Of the snapshot that is being made, its files", durability.snapshot_bytes
    )


def checks(labels: Labels, durability: pb.DurabilityStats) -> Iterator[Metric]:
    yield from _check(labels, "verify", "reading of all objects", durability.verify)
    yield from _check(labels, "drill", "restore that was compared with the source", durability.drill)


def _check(labels: Labels, name: str, text: str, check: pb.CheckStats) -> Iterator[Metric]:
    yield labels.gauge(
        f"aidb_{name}_timestamp_seconds", f"End of the newest {text}; 0 = none yet", check.at_ms / 1000
    )
    yield labels.gauge(f"aidb_{name}_failing", f"1 if the newest {text} found damage", bool(check.problem))
    yield labels.gauge(f"aidb_{name}_lsn", f"Through which the newest {text} found all well", check.lsn)
    yield labels.gauge(f"aidb_{name}_seconds", f"How long the newest {text} took", check.took_ms / 1000)


def tail_set(labels: Labels, durability: pb.DurabilityStats) -> Iterator[Metric]:
    yield labels.gauge("aidb_held_lsn", "Through which writes of mode replica are safe", durability.held_lsn)
    yield labels.gauge(
        "aidb_durability_waiting", "Requests that wait for the archive or the tail set", durability.waiting
    )
    members = [one for one in durability.tail if one.member]
    yield labels.gauge("aidb_tail_members", "Replicas that keep the log's end", len(members))
    lag = max((one.lag_ms for one in members), default=0) / 1000
    yield labels.gauge("aidb_tail_lag_seconds", "Of the member that is furthest behind", lag)


def object_store(labels: Labels, durability: pb.DurabilityStats) -> Iterator[Metric]:
    for name, text, field in (
        ("requests", "Requests to the object store", "requests"),
        ("request_failures", "Of these, those that failed", "failures"),
        ("bytes", "Bytes of bodies, received or sent", "bytes"),
    ):
        values: dict[tuple[str, ...], float] = {
            (one.operation,): getattr(one, field) for one in durability.requests
        }
        yield labels.counters(f"aidb_object_{name}", text, ("operation",), values)
