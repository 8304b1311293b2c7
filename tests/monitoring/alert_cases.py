"""When each alert fires and when it stays quiet: series in promtool's notation, a value a minute."""

from __future__ import annotations

from dataclasses import dataclass

Series = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """Looked at after `minutes`, with the series of `fires` and, apart, with those of `quiet`."""

    fires: Series
    quiet: Series
    minutes: int = 60


def _requests(code: str, bad: str, method: str = "Get") -> Series:
    labels = f'method="{method}", role="primary", shard="0"'
    return {
        f'aidb_requests_total{{{labels}, code="OK"}}': "0+6000x240",
        f'aidb_requests_total{{{labels}, code="{code}"}}': bad,
    }


def _histogram(name: str, labels: str, bound: str, below: int, above: int) -> Series:
    """So many a minute below and above ``bound``."""
    return {
        f'{name}_bucket{{{labels}, le="{bound}"}}': f"0+{below}x240",
        f'{name}_bucket{{{labels}, le="16.0"}}': f"0+{below + above}x240",
        f'{name}_bucket{{{labels}, le="+Inf"}}': f"0+{below + above}x240",
        f"{name}_count{{{labels}}}": f"0+{below + above}x240",
    }


_GET = 'method="Get", role="replica", shard="0"'
_PUT = 'method="Put", role="primary", shard="0"'
_STATE = 'aidb_shard_state{shard="0", state="stopped"}'
_DISK = 'aidb_disk_size_bytes{shard="0"}'
_FREE = 'aidb_disk_free_bytes{shard="0"}'
_UP = 'aidb_uptime_seconds{shard="0", role="primary"}'
_BACKUP = {_UP: "0+60x600", 'aidb_backup_interval_seconds{shard="0", role="primary"}': "3600x600"}
_TAKEN = 'aidb_backup_last_success_timestamp_seconds{shard="0", role="primary"}'
_SLOTS = 'aidb_operation_slots{operation="a", kind="add_shard"}'
_DONE = 'aidb_operation_slots_done{operation="a", kind="add_shard"}'

CASES = {
    "AidbShardDown": Case({_STATE: "0x10 1x60"}, {_STATE: "0x59 1x20"}),
    "AidbCoordinatorDown": Case(
        {'aidb_lease_age_seconds{shard="0"}': "1x60", "aidb_term": "3x40 stale"},
        {'aidb_lease_age_seconds{shard="0"}': "1x60", "aidb_term": "3x60"},
    ),
    "AidbLeaseOld": Case(
        {'aidb_lease_age_seconds{shard="0"}': "1x50 20+60x20", _UP: "0+60x240"},
        {'aidb_lease_age_seconds{shard="0"}': "1x59 20x20", _UP: "0+60x240"},
    ),
    "AidbErrorsHigh": Case(_requests("INTERNAL", "0+100x240"), _requests("MOVED", "0+1000x240")),
    "AidbOverloaded": Case(_requests("BUSY", "0+1000x240"), _requests("BUSY", "0+60x240")),
    "AidbReadsSlow": Case(
        _histogram("aidb_request_duration_seconds", _GET, "0.065536", 900, 100),
        _histogram("aidb_request_duration_seconds", _GET, "0.065536", 900, 5),
    ),
    "AidbWritesSlow": Case(
        _histogram("aidb_request_duration_seconds", _PUT, "0.524288", 900, 100),
        _histogram("aidb_request_duration_seconds", _PUT, "0.524288", 900, 5),
    ),
    "AidbMemberFailed": Case(
        {'aidb_members{role="replica", state="failed"}': "0x40 1x40"},
        {'aidb_members{role="replica", state="failed"}': "0x56 1x20"},
    ),
    "AidbRestarting": Case({_UP: "0+60x40 0+60x5 0+60x5 0+60x5 0+60x5"}, {_UP: "0+60x40 0+60x40"}),
    "AidbCacheStale": Case(
        {'aidb_replica_staleness_seconds{shard="0"}': "1x50 3600x20"},
        {'aidb_replica_staleness_seconds{shard="0"}': "1x59 12x20"},
    ),
    "AidbCacheColdOrSmall": Case(
        {
            'aidb_cache_hits_total{shard="0"}': "0+600x240",
            'aidb_cache_misses_total{shard="0"}': "0+60000x240",
        },
        {
            'aidb_cache_hits_total{shard="0"}': "0+600x240",
            'aidb_cache_misses_total{shard="0"}': "0+1000x240",
        },
        minutes=120,
    ),
    "AidbStoreRefusesWrites": Case(
        {'aidb_poisoned{shard="0"}': "0x30 1x40"}, {'aidb_poisoned{shard="0"}': "0x90"}
    ),
    "AidbWritesHeldBack": Case(
        {'aidb_stall_seconds_total{shard="0"}': "0+20x240"},
        {'aidb_stall_seconds_total{shard="0"}': "0+3x240"},
    ),
    "AidbDiskFilling": Case(
        {_DISK: "1000000000000x90", _FREE: "90000000000x90"},
        {_DISK: "1000000000000x90", _FREE: "300000000000x90"},
    ),
    "AidbDiskFull": Case(_requests("DISK_FULL", "0x50 0+5x40", "Put"), _requests("DISK_FULL", "3x90", "Put")),
    "AidbDiskSyncSlow": Case(
        _histogram("aidb_log_sync_seconds", 'shard="0"', "0.262144", 900, 100),
        _histogram("aidb_log_sync_seconds", 'shard="0"', "0.262144", 900, 5),
    ),
    "AidbArchiveBehind": Case(
        {'aidb_archive_lag_seconds{shard="0"}': "1x40 60+60x30"},
        {'aidb_archive_lag_seconds{shard="0"}': "1x57 70x20"},
    ),
    "AidbArchiveGap": Case(
        {'aidb_archive_gaps_total{shard="0"}': "0x50 1x40"},
        {'aidb_archive_gaps_total{shard="0"}': "1x200"},
        minutes=90,
    ),
    "AidbBackupTooOld": Case(
        {**_BACKUP, _TAKEN: "60x600"},
        {**_BACKUP, _TAKEN: "60x60 3600x60 7200x60 10800x60 14400x60"},
        minutes=240,
    ),
    "AidbSecondCopyDamaged": Case(
        {'aidb_drill_failing{shard="0"}': "0x30 1x60"},
        {'aidb_drill_failing{shard="0"}': "0x90", 'aidb_verify_failing{shard="0"}': "0x90"},
    ),
    "AidbOperationStuck": Case(
        {_SLOTS: "100x240", _DONE: "0+2x20 40x240"}, {_SLOTS: "100x240", _DONE: "0+1x240"}, minutes=90
    ),
    "AidbSuccessorStuck": Case(
        {'aidb_shard_successor{shard="0", kind="takeover"}': "1x90"},
        {'aidb_shard_successor{shard="0", kind="takeover"}': "_x50 1x40"},
    ),
    "AidbCertificateExpires": Case(
        {"aidb_certificate_expires_timestamp_seconds": "500000x90"},
        {"aidb_certificate_expires_timestamp_seconds": "900000x90"},
    ),
    "AidbOperatorStuck": Case(
        {"aidb_operator_reconcile_age_seconds": "0+60x90", "aidb_operator_clusters": "1x90"},
        {"aidb_operator_reconcile_age_seconds": "0+60x90", "aidb_operator_clusters": "0x90"},
    ),
    "AidbReconcileFails": Case(
        {
            'aidb_operator_reconciles_total{result="failed"}': "0+10x90",
            'aidb_operator_reconciles_total{result="succeeded"}': "0+1x90",
        },
        {
            'aidb_operator_reconciles_total{result="failed"}': "0+1x90",
            'aidb_operator_reconciles_total{result="succeeded"}': "0+10x90",
        },
    ),
}
