"""What a program is started with."""

from __future__ import annotations

import argparse
import math
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict, get_args

from aidb import logs
from aidb.security.names import DEFAULT_DOMAIN
from aidb.security.server import add_arguments
from aidb_node.backup.settings import BackupSettings
from aidb_node.zones import zone_of

Warm = Literal["none", "siblings", "scan"]
Role = Literal["primary", "replica", "router"]
SYNC_MODES = ("group", "interval", "none")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZE = re.compile(r"(\d{1,15})\s*([kmg]?)(?:i?b)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes in bytes, times in seconds. `data`, `sync` and what `BackupSettings` has are of primaries
    only.
    """

    role: Role
    name: str
    coordinator: str
    listen: str
    advertise: str = ""
    metrics: str = ""
    shard: int = 0
    data: Path = Path()
    sync: str = "group"
    cache_bytes: int = 64 << 20
    memtable_bytes: int = 32 << 20
    memory_bytes: int = 0
    threads: int = 2
    max_connections: int = 4096
    client_patience: float = 30.0
    hedge_percent: float = 5.0
    update_bytes: int = 0
    warm: Warm = "none"
    tail_bytes: int = 64 << 20
    tail_members: int = 1
    tail_same_node: bool = False
    zone: str = ""
    node: str = ""
    grace_seconds: float = 10.0
    objects: str = ""
    archive_every: float = 1.0
    archive_lag_bytes: int = 1 << 30
    snapshot_every: float = 3600.0
    snapshot_keep: int = 24
    snapshot_keep_days: float = 7.0
    uploads: int = 4
    upload_rate: int = 64 << 20
    verify_every: float = 86_400.0
    drill_every: float = 604_800.0
    tls: Path | None = None
    tokens: Path | None = None
    tls_domain: str = DEFAULT_DOMAIN
    health_listen: str = ""
    incarnation: int = 1
    move_rate: int = 64 << 20
    log_format: str = "text"
    log_level: str = "info"
    slow_request_ms: int = 1000

    @property
    def backup(self) -> BackupSettings:
        return BackupSettings(**{field.name: getattr(self, field.name) for field in fields(BackupSettings)})


# Of a token: its name, SHA-256, level, expiry in ms or 0, and the keyspaces and prefixes it is limited to.
TokenRow: TypeAlias = tuple[str, bytes, int, int, list[int], list[bytes]]


class Keys(TypedDict):
    """What the native side of a secured program is told more."""

    ca: bytes
    certificate: bytes
    key: bytes
    domain: str
    tokens: list[TokenRow]


class Common(TypedDict):
    """What the native side is told of every program. `process_id` is random per process."""

    name: str
    listen: str
    advertise: str
    metrics: str
    coordinator: str
    threads: int
    connections: int
    patience: float
    zone: str
    node: str
    process_id: str
    health: str
    keys: Keys | None
    # Which requests are looked at one by one: those that take as long (0 = none), those of sampled traces.
    slow_request_ms: int
    traces: bool


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Settings from a command line; exits with 2 and a message when it is wrong."""
    options = vars(_parser().parse_args(arguments))
    zones = options.pop("zones")
    if zones is not None and not options["zone"]:
        options["zone"] = zone_of(zones, options["node"])
    return Settings(**options)


def size(text: str) -> int:
    """Bytes from "64MiB", "64m" or "1024"; units are powers of two."""
    matched = _SIZE.fullmatch(text.strip())
    if matched is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: give bytes, or a number with k, m or g")
    return int(matched.group(1)) * _UNITS[matched.group(2).lower()]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give seconds, at most a day of them")
    return number


def _milliseconds(text: str) -> int:
    if not text.isdecimal() or int(text) > 86_400_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: give ms, at most a day of them; 0 = none")
    return int(text)


def _period(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 366 * 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no period: give seconds, at most a year; 0 = never")
    return number


def _percent(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage: give a number from 0 to 100")
    return number


def _shard(text: str) -> int:
    if not text.isdecimal() or int(text) >= 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is no shard: give a number from 0 to 65534")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aidb-node", description="One node of an AiDb cluster.")
    roles = parser.add_subparsers(dest="role", required=True, metavar="|".join(get_args(Role)))
    for role in get_args(Role):
        add = roles.add_parser(role, help=f"run a {role}").add_argument
        add("--coordinator", required=True, metavar="HOST:PORT")
        add("--name", required=True, help="stable name in the cluster, e.g. shard-0-primary")
        add("--listen", required=True, metavar="HOST:PORT", help="port 0 picks a free one")
        add("--advertise", default="", metavar="HOST:PORT", help="where others reach it (what it listens on)")
        add("--metrics", default="", metavar="HOST:PORT", help="serve /metrics there (nowhere)")
        add_arguments(add)
        logs.add_arguments(add)
        add(
            "--slow-request-ms",
            type=_milliseconds,
            default=1000,
            metavar="MS",
            help="requests that take so long are in the log, without their keys; 0 = none (1000)",
        )
        add("--threads", type=_positive, default=2, help="serving threads (2)")
        add(
            "--max-connections",
            type=_positive,
            default=4096,
            metavar="N",
            help="connections of clients; beyond them the oldest without a call gives way (4096)",
        )
        add(
            "--client-patience",
            type=_seconds,
            default=30.0,
            metavar="S",
            help="a connection ends that keeps the server waiting for so long: for a greeting, the rest of a "
            "request, or to take an answer (30)",
        )
        add("--zone", default="")
        add(
            "--zones",
            type=Path,
            metavar="FILE",
            help="instead of --zone: lines `node zone`, of which that of --node is taken",
        )
        add("--node", default=socket.gethostname(), help="the machine (its host name)")
        add("--grace-seconds", type=float, default=10.0, help="for requests in flight at the end (10)")
        if role != "router":
            add("--shard", type=_shard, required=True)
            add("--cache-bytes", type=size, default=64 << 20, help="64MiB")
        if role == "replica":
            add(
                "--update-bytes",
                type=size,
                default=0,
                metavar="SIZE",
                help="cached values up to this size are renewed when they are written; "
                "others, and all with 0, are invalidated (0)",
            )
            add(
                "--warm",
                choices=get_args(Warm),
                default="none",
                help="fill the cache before clients ask: with what siblings are read for, or by scan (none)",
            )
            add(
                "--tail-bytes",
                type=size,
                default=64 << 20,
                metavar="SIZE",
                help="of the primary's log that is kept in memory, in clusters of durability replica (64MiB)",
            )
        if role == "router":
            add(
                "--hedge-percent",
                type=_percent,
                default=5.0,
                metavar="N",
                help="second reads for a hundred reads, at most; 0 = none (5)",
            )
        if role == "primary":
            add("--data", type=Path, required=True, metavar="DIR")
            add(
                "--incarnation",
                type=_positive,
                default=1,
                metavar="N",
                help="of the shard's primary; from 2 on it takes over from the one before, if wanted (1)",
            )
            add(
                "--move-rate",
                type=size,
                default=64 << 20,
                metavar="SIZE",
                help="of slots that move here, a second, all moves together; 0 = no limit (64MiB)",
            )
            add("--sync", choices=SYNC_MODES, default="group", help="before a write is acknowledged (group)")
            add("--memtable-bytes", type=size, default=32 << 20, help="32MiB")
            add(
                "--memory-bytes",
                type=size,
                default=0,
                metavar="SIZE",
                help="one budget for caches, indexes, memtables, records kept for replicas and request ids, "
                "instead of --cache-bytes; beyond it the program itself (none)",
            )
            add(
                "--tail-members",
                type=_positive,
                default=1,
                metavar="N",
                help="replicas that keep the log's end, in clusters of durability replica (1)",
            )
            add(
                "--tail-same-node",
                action="store_true",
                help="they may be on this node: for clusters of one machine",
            )
            _add_backup(add)
    return parser


def _add_backup(add: Callable[..., object]) -> None:
    defaults = BackupSettings()
    add(
        "--objects",
        default="",
        metavar="URL",
        help="store of the second copy: file:///dir or s3://... (none)",
    )
    add(
        "--archive-every",
        type=_seconds,
        default=defaults.archive_every,
        metavar="SECONDS",
        help="how long log may wait to be archived (1)",
    )
    add(
        "--archive-lag-bytes",
        type=size,
        default=defaults.archive_lag_bytes,
        metavar="SIZE",
        help="log that the archive may lack: then writes are refused, from half of it on slowed (1GiB)",
    )
    add("--snapshot-every", type=_seconds, default=defaults.snapshot_every, metavar="SECONDS", help="3600")
    add("--snapshot-keep", type=_positive, default=defaults.snapshot_keep, metavar="N", help="at least (24)")
    add(
        "--snapshot-keep-days",
        type=float,
        default=defaults.snapshot_keep_days,
        metavar="DAYS",
        help="and all that are younger (7)",
    )
    add("--uploads", type=_positive, default=defaults.uploads, metavar="N", help="at a time (4)")
    add(
        "--upload-rate",
        type=size,
        default=defaults.upload_rate,
        metavar="SIZE",
        help="of snapshots, a second; 0 = no limit (64MiB)",
    )
    for name, default, text in (
        (
            "--verify-every",
            defaults.verify_every,
            "how often all objects are read and checked (86400, a day)",
        ),
        (
            "--drill-every",
            defaults.drill_every,
            "how often the newest state is restored beside the data and compared with it (604800, a week)",
        ),
    ):
        add(name, type=_period, default=default, metavar="SECONDS", help=f"{text}; 0 = never")
