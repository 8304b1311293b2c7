"""Writes monitoring/dashboards/*.json for Grafana from what is said below. `--check`: only compares.

Every query is run against a real cluster by `make evidence-dashboards`: no panel may be empty.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("monitoring") / "dashboards"
# Of a cluster; of one of its shards; of operators.
C = 'namespace=~"$namespace", cluster=~"$cluster"'
S = f'{C}, shard=~"$shard"'
OPERATORS = 'namespace=~"$namespace"'
_DATA = 'method!~"Other|Pipeline"'
_WIDTH, _HEIGHT, _IN_A_ROW = 8, 7, 3


@dataclass(frozen=True, slots=True)
class Panel:
    """``queries``: expression by its legend. ``kind`` timeseries or stat; ``unit`` is Grafana's."""

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"
    text: str = ""


def quantile(part: float, metric: str, labels: str, by: str) -> str:
    buckets = f"rate({metric}_bucket{{{labels}}}[$__rate_interval])"
    return f"histogram_quantile({part}, sum by ({by}, le) ({buckets}))"


def rate(by: str, metric: str, labels: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def total(by: str, metric: str, labels: str) -> str:
    return f"sum by ({by}) ({metric}{{{labels}}})"


def most(by: str, metric: str, labels: str) -> str:
    return f"max by ({by}) ({metric}{{{labels}}})"


def hit_ratio(by: str, labels: str) -> str:
    hits, misses = (rate(by, f"aidb_cache_{name}_total", labels) for name in ("hits", "misses"))
    return f"{hits} / ({hits} + {misses})"


DASHBOARDS: dict[str, tuple[Panel, ...]] = {
    "cluster": (
        Panel(
            "Shards running", "none", {"running": f'sum(aidb_shard_state{{{C}, state="running"}})'}, "stat"
        ),
        Panel(
            "Shards stopped", "none", {"stopped": f'sum(aidb_shard_state{{{C}, state="stopped"}})'}, "stat"
        ),
        Panel("Members failed", "none", {"failed": f'sum(aidb_members{{{C}, state="failed"}})'}, "stat"),
        Panel(
            "Requests by method",
            "reqps",
            {"{{method}}": rate("method", "aidb_requests_total", f"{C}, {_DATA}")},
        ),
        Panel(
            "Not OK, by code",
            "reqps",
            {"{{code}}": rate("code", "aidb_requests_total", f'{C}, {_DATA}, code!="OK"')},
            text="docs/errors has a page for each code.",
        ),
        Panel("In flight", "none", {"{{role}}": total("role", "aidb_requests_in_flight", C)}),
        Panel(
            "Gets: time in a member",
            "s",
            {
                f"p{part} {{{{role}}}}": quantile(
                    part / 100, "aidb_request_duration_seconds", f'{C}, method="Get"', "role"
                )
                for part in (50, 99)
            },
        ),
        Panel(
            "Writes: time in the primary",
            "s",
            {
                f"p{part} {{{{method}}}}": quantile(
                    part / 100,
                    "aidb_request_duration_seconds",
                    f'{C}, role="primary", method=~"Put|Delete|BatchPut"',
                    "method",
                )
                for part in (50, 99)
            },
        ),
        Panel("Cache hits", "percentunit", {"shard {{shard}}": hit_ratio("shard", C)}),
        Panel("Keys", "short", {"shard {{shard}}": total("shard", "aidb_keys", C)}),
        Panel("Data on disk", "bytes", {"shard {{shard}}": total("shard", "aidb_data_size_bytes", C)}),
        Panel("Healthy replicas", "none", {"shard {{shard}}": total("shard", "aidb_replicas_per_shard", C)}),
        Panel("CPU", "none", {"{{role}}": rate("role", "aidb_cpu_seconds_total", C)}, text="Cores."),
        Panel("Memory", "bytes", {"{{role}}": total("role", "aidb_resident_memory_bytes", C)}),
        Panel("Connections of clients", "none", {"{{role}}": total("role", "aidb_connections", C)}),
        Panel("Slot moves", "none", {"{{step}}": total("step", "aidb_slot_moves", C)}),
        Panel(
            "Operations", "none", {"{{kind}} {{state}}": total("kind, state", "aidb_operations", C) + " > 0"}
        ),
        Panel(
            "Operations: slots left",
            "none",
            {
                "{{kind}} {{operation}}": f"max by (operation, kind) "
                f"(aidb_operation_slots{{{C}}} - aidb_operation_slots_done{{{C}}})"
            },
        ),
        Panel("Hot slots", "none", {"hot slots": f"max(aidb_hot_slots{{{C}}})"}),
        Panel(
            "Term, topology",
            "none",
            {"term": f"max(aidb_term{{{C}}})", "topology": f"max(aidb_topology_version{{{C}}})"},
        ),
        Panel(
            "Hedged reads of routers",
            "reqps",
            {
                "sent": rate("role", "aidb_router_hedges_total", C),
                "won": rate("role", "aidb_router_hedges_won_total", C),
            },
        ),
    ),
    "shard": (
        Panel(
            "Requests",
            "reqps",
            {"{{role}} {{method}}": rate("role, method", "aidb_requests_total", f"{S}, {_DATA}") + " > 0"},
        ),
        Panel(
            "Not OK",
            "reqps",
            {"{{role}} {{code}}": rate("role, code", "aidb_requests_total", f'{S}, {_DATA}, code!="OK"')},
        ),
        Panel(
            "Time in here, p99",
            "s",
            {"{{role}} {{method}}": quantile(0.99, "aidb_request_duration_seconds", S, "role, method")},
        ),
        Panel(
            "Cache: hits and misses",
            "reqps",
            {
                "hits": rate("shard", "aidb_cache_hits_total", S),
                "misses": rate("shard", "aidb_cache_misses_total", S),
                "forwards": rate("shard", "aidb_cache_forwards_total", S),
            },
        ),
        Panel(
            "Cache: size",
            "bytes",
            {
                "held {{shard}}": total("shard", "aidb_cache_size_bytes", S),
                "capacity {{shard}}": total("shard", "aidb_cache_capacity_bytes", S),
            },
        ),
        Panel(
            "Cache: changes",
            "ops",
            {
                name: rate("shard", f"aidb_cache_{name}_total", S)
                for name in ("fills", "evictions", "invalidations")
            },
        ),
        Panel(
            "Replicas: staleness",
            "s",
            {"shard {{shard}}": most("shard", "aidb_replica_staleness_seconds", S)},
        ),
        Panel(
            "Lease: age of the evidence", "s", {"shard {{shard}}": most("shard", "aidb_lease_age_seconds", S)}
        ),
        Panel(
            "Log: LSNs behind",
            "none",
            {"not synced {{shard}}": f"max by (shard) (aidb_visible_lsn{{{S}}} - aidb_synced_lsn{{{S}}})"},
        ),
        Panel(
            "Log: sync",
            "s",
            {
                f"p{part} {{{{shard}}}}": quantile(part / 100, "aidb_log_sync_seconds", S, "shard")
                for part in (50, 99)
            },
        ),
        Panel(
            "Writers held back",
            "percentunit",
            {"shard {{shard}}": rate("shard", "aidb_stall_seconds_total", S)},
            text="Part of the time.",
        ),
        Panel(
            "Compaction debt", "bytes", {"shard {{shard}}": total("shard", "aidb_compaction_debt_bytes", S)}
        ),
        Panel("Levels", "bytes", {"L{{level}}": total("level", "aidb_level_bytes", S)}),
        Panel(
            "Memtables and log",
            "bytes",
            {
                "memtables": total("shard", "aidb_memtable_bytes", S),
                "log": total("shard", "aidb_log_bytes", S),
            },
        ),
        Panel(
            "Flushes and compactions",
            "Bps",
            {
                "flushed": rate("shard", "aidb_flushed_bytes_total", S),
                "compacted": rate("shard", "aidb_compacted_bytes_total", S),
            },
        ),
        Panel(
            "Block cache",
            "reqps",
            {
                "hits": rate("shard", "aidb_block_cache_hits_total", S),
                "misses": rate("shard", "aidb_block_cache_misses_total", S),
            },
        ),
        Panel(
            "Disk left",
            "percentunit",
            {
                "shard {{shard}}": f"min by (shard) "
                f"(aidb_disk_free_bytes{{{S}}} / aidb_disk_size_bytes{{{S}}})"
            },
        ),
        Panel(
            "Moves: parked requests, write delay",
            "none",
            {
                "parked": rate("shard", "aidb_move_parked_total", S),
                "delay, s": most("shard", "aidb_move_write_delay_seconds", S),
            },
        ),
        Panel(
            "Moves: imported", "Bps", {"shard {{shard}}": rate("shard", "aidb_move_imported_bytes_total", S)}
        ),
        Panel("Memory", "bytes", {"{{role}}": total("role", "aidb_resident_memory_bytes", S)}),
        Panel("CPU", "none", {"{{role}}": rate("role", "aidb_cpu_seconds_total", S)}, text="Cores."),
    ),
    "backup": (
        Panel(
            "Archive: age of what it lacks",
            "s",
            {"shard {{shard}}": most("shard", "aidb_archive_lag_seconds", S)},
        ),
        Panel(
            "Archive: bytes that it lacks",
            "bytes",
            {"shard {{shard}}": most("shard", "aidb_archive_lag_bytes", S)},
        ),
        Panel("Archive: written", "Bps", {"shard {{shard}}": rate("shard", "aidb_archive_bytes_total", S)}),
        Panel(
            "Newest snapshot: age",
            "s",
            {
                "shard {{shard}}": "time() - ("
                + most("shard", "aidb_backup_last_success_timestamp_seconds", S)
                + " > 0)"
            },
        ),
        Panel(
            "Newest snapshot: how long it took",
            "s",
            {"shard {{shard}}": most("shard", "aidb_backup_duration_seconds", S)},
        ),
        Panel("Snapshots under way", "none", {"shard {{shard}}": most("shard", "aidb_backup_running", S)}),
        Panel(
            "Snapshot: uploaded",
            "bytes",
            {
                "there {{shard}}": most("shard", "aidb_backup_done_bytes", S),
                "in all {{shard}}": most("shard", "aidb_backup_total_bytes", S),
            },
        ),
        Panel(
            "Snapshots that ended", "none", {"shard {{shard}}": total("shard", "aidb_backups_ended_total", S)}
        ),
        Panel(
            "Failing",
            "none",
            {name: f"max(aidb_{name}_failing{{{S}}})" for name in ("archive", "backup", "verify", "drill")},
        ),
        Panel(
            "Checks: end of the newest",
            "dateTimeAsIso",
            {
                "verify {{shard}}": f"1000 * max by (shard) (aidb_verify_timestamp_seconds{{{S}}})",
                "drill {{shard}}": f"1000 * max by (shard) (aidb_drill_timestamp_seconds{{{S}}})",
            },
        ),
        Panel(
            "Object store: requests",
            "reqps",
            {"{{operation}}": rate("operation", "aidb_object_requests_total", S)},
        ),
        Panel(
            "Object store: failures",
            "reqps",
            {"{{operation}}": rate("operation", "aidb_object_request_failures_total", S)},
        ),
        Panel(
            "Object store: bytes", "Bps", {"{{operation}}": rate("operation", "aidb_object_bytes_total", S)}
        ),
        Panel(
            "Gaps in the archive", "none", {"shard {{shard}}": total("shard", "aidb_archive_gaps_total", S)}
        ),
        Panel(
            "Topology: newest version kept",
            "none",
            {"version": f"max(aidb_topology_archived_version{{{C}}})"},
        ),
    ),
    "operator": (
        Panel("Clusters", "none", {"clusters": f"sum(aidb_operator_clusters{{{OPERATORS}}})"}, "stat"),
        Panel("Watches complete", "none", {"ready": f"min(aidb_operator_ready{{{OPERATORS}}})"}, "stat"),
        Panel(
            "Since the last turn",
            "s",
            {"age": f"max(aidb_operator_reconcile_age_seconds{{{OPERATORS}}})"},
            "stat",
        ),
        Panel("Turns", "ops", {"{{result}}": rate("result", "aidb_operator_reconciles_total", OPERATORS)}),
        Panel(
            "A turn takes",
            "s",
            {
                f"p{part}": quantile(part / 100, "aidb_operator_reconcile_seconds", OPERATORS, "namespace")
                for part in (50, 99)
            },
        ),
        Panel(
            "Calls of the API server",
            "reqps",
            {
                "{{verb}} {{kind}} {{code}}": rate(
                    "verb, kind, code", "aidb_operator_api_calls_total", OPERATORS
                )
            },
        ),
    ),
}
_VARIABLES = {
    "cluster": (("namespace", "aidb_uptime_seconds"), ("cluster", "aidb_uptime_seconds")),
    "shard": (
        ("namespace", "aidb_uptime_seconds"),
        ("cluster", "aidb_uptime_seconds"),
        ("shard", "aidb_keys"),
    ),
    "backup": (
        ("namespace", "aidb_uptime_seconds"),
        ("cluster", "aidb_uptime_seconds"),
        ("shard", "aidb_keys"),
    ),
    "operator": (("namespace", "aidb_operator_ready"),),
}


def queries() -> Iterator[tuple[str, str, str]]:
    """Dashboard, panel, expression; with Grafana's variables in it."""
    for name, panels in DASHBOARDS.items():
        for panel in panels:
            for expression in panel.queries.values():
                yield name, panel.title, expression


def filled(expression: str, window: str = "1m") -> str:
    """As Grafana asks it, with everything chosen."""
    for name in ("namespace", "cluster", "shard"):
        expression = expression.replace(f"${name}", ".*")
    return expression.replace("$__rate_interval", window)


def files() -> dict[Path, str]:
    return {
        FOLDER / f"{name}.json": json.dumps(_dashboard(name, panels), indent=1) + "\n"
        for name, panels in DASHBOARDS.items()
    }


def _dashboard(name: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    return {
        "uid": f"aidb-{name}",
        "title": f"AiDb / {name.capitalize()}",
        "tags": ["aidb"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *(_variable(label, metric) for label, metric in _VARIABLES[name])]},
        "panels": [_panel(index, panel) for index, panel in enumerate(panels)],
    }


def _variable(label: str, metric: str) -> dict[str, Any]:
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({metric}, {label})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        # Also what has no such label.
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(index, _IN_A_ROW)
    return {
        "id": index + 1,
        "title": panel.title,
        "description": panel.text,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "expr": expression,
                "legendFormat": legend,
                "datasource": _SOURCE,
            }
            for number, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    stale = [
        path
        for path, text in files().items()
        if not (ROOT / path).exists() or (ROOT / path).read_text() != text
    ]
    if parser.parse_args().check:
        for path in stale:
            print(f"{path} is not what tools/generate_dashboards.py makes: run `make gen`", file=sys.stderr)
        return bool(stale)
    for path in stale:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(files()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
