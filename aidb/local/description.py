"""`local.json`: what a local cluster was made as. Written once: what shards and replicas there are now is in
the coordinator's files, see `wanted`.

{"format": 1, "cluster_uid": "...", "shards": 3, "replicas": 2, "sync": "group", "ephemeral": false,
 "ports": {"coordinator": 7400, "shard-0-primary": 7401, ...}}
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aidb.local.layout import Layout, write_atomically
from aidb.local.ports import free_ports
from aidb.local.refusal import Refused
from aidb.objects.errors import Unusable
from aidb.objects.location import parse

FORMAT = 1
# Of a secured cluster: an older program would start it without security.
SECURE_FORMAT = 2
DEFAULT_PORT = 7400
MAX_SHARDS = 64
MAX_REPLICAS = 16
SYNCS = ("group", "interval", "none")
DURABILITIES = ("async", "replica", "archived")
NO_OBJECTS = "none"


@dataclass(frozen=True, slots=True)
class Source:
    """What a new cluster begins with: another one's objects. ``uid`` empty: the store has no others;
    ``clock_ms`` 0: the newest.
    """

    url: str
    uid: str = ""
    clock_ms: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for; None = what is there, or the default for a new directory. ``port`` 0 = free
    ports.
    """

    shards: int | None = None
    replicas: int | None = None
    port: int | None = None
    sync: str | None = None
    ephemeral: bool = False
    objects: str | None = None
    secure: bool = False
    durability: str | None = None
    source: Source | None = None

    def __post_init__(self) -> None:
        _check_range("--shards", self.shards, 1, MAX_SHARDS)
        _check_range("--replicas", self.replicas, 0, MAX_REPLICAS)
        _check_range("--port", self.port, 0, 65_535)
        if self.sync is not None and self.sync not in SYNCS:
            raise Refused(f"--sync {self.sync} is none of {', '.join(SYNCS)}")
        if self.durability is not None and self.durability not in DURABILITIES:
            raise Refused(f"--durability {self.durability} is none of {', '.join(DURABILITIES)}")
        if self.objects and self.objects != NO_OBJECTS:
            _check_url("--objects", self.objects)
        if self.source is not None:
            _check_url("--recover-from", self.source.url)
            if self.shards is not None:
                raise Refused("--recover-from brings the other cluster's shards: leave --shards out")


@dataclass(frozen=True, slots=True)
class Description:
    """See the module. ``ports`` has every program by name, in start order. ``objects``: URL of the second
    copy's store; empty = in the directory itself, `NO_OBJECTS` = there is none. (Directories of earlier
    versions have no such member, and get a second copy.)
    """

    cluster_uid: str
    shards: int
    replicas: int
    sync: str
    ephemeral: bool
    ports: dict[str, int]
    objects: str = ""
    secure: bool = False
    durability: str = DURABILITIES[0]
    source: Source | None = None

    @property
    def coordinator(self) -> str:
        """Its address."""
        return self.address("coordinator")

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    def serves_at(self, addresses: str) -> bool:
        """Whether all of them, `host:port` with commas between, are of its programs."""
        own = {self.address(name) for name in self.ports}
        return own.issuperset(addresses.split(","))

    def metrics_port(self, name: str) -> int:
        """The metrics' ports follow the programs', in the same order."""
        return self.ports[name] + len(self.ports)

    @classmethod
    def new(cls, wish: Wish) -> Description:
        """A description of a cluster that is not there yet.

        Raises:
            Refused: the ports go beyond 65535.
        """
        shards = 3 if wish.shards is None else wish.shards
        replicas = 2 if wish.replicas is None else wish.replicas
        names = member_names(shards, replicas)
        base = DEFAULT_PORT if wish.port is None else wish.port
        if base == 0:
            ports = free_ports(2 * len(names))[: len(names)]
        else:
            ports = list(range(base, base + len(names)))
            if ports[-1] + len(names) > 65_535:
                raise Refused(
                    f"--port {base} leaves no room for {2 * len(names)} ports below 65536: "
                    f"choose at most {65_536 - 2 * len(names)}"
                )
        objects = NO_OBJECTS if wish.ephemeral and wish.objects is None else wish.objects or ""
        durability = wish.durability or DURABILITIES[0]
        if objects == NO_OBJECTS and durability != DURABILITIES[0]:
            raise Refused(
                f"--durability {durability} needs an object store: name one with --objects, or leave out "
                f"{'--ephemeral' if wish.objects is None else '--objects none'}"
            )
        return cls(
            cluster_uid=uuid.uuid4().hex,
            shards=shards,
            replicas=replicas,
            sync=wish.sync or SYNCS[0],
            ephemeral=wish.ephemeral,
            ports=dict(zip(names, ports, strict=True)),
            objects=objects,
            secure=wish.secure,
            durability=durability,
            source=wish.source,
        )

    def check(self, wish: Wish, data: Path, *, shards: int) -> None:
        """Refuse a wish that this cluster, which exists and has so many ``shards`` now, does not fulfil.

        Raises:
            Refused: names the option.
        """
        if wish.secure and not self.secure:
            raise Refused(
                f"the cluster in {data} was made without --secure: leave it out, or make another cluster "
                "with --data DIR"
            )
        if wish.source is not None and wish.source != self.source:
            raise Refused(
                f"there is a cluster in {data}, which --recover-from would not change: choose another "
                "directory with --data, or let this cluster go back (aidb-admin restore, recover)"
            )
        if wish.shards is not None and wish.shards != shards:
            raise Refused(
                f"the cluster in {data} has {shards} shards, not --shards {wish.shards}: leave it out, and "
                "use aidb-admin add-shard or remove-shard while it runs"
            )
        base = self.ports["coordinator"]
        for option, wanted, present in (
            ("--replicas", wish.replicas, self.replicas),
            ("--port", wish.port or None, base),
            ("--sync", wish.sync, self.sync),
            ("--objects", wish.objects, self.objects),
            ("--durability", wish.durability, self.durability),
        ):
            if wanted is not None and wanted != present:
                raise Refused(
                    f"the cluster in {data} was made with {option} {present}, not {wanted}: leave it out, "
                    "or make another cluster with --data DIR"
                )


def member_names(shards: int, replicas: int) -> list[str]:
    """Every program's name, in the order of the ports."""
    return [
        "coordinator",
        "router-0",
        *(f"shard-{shard}-primary" for shard in range(shards)),
        *(f"shard-{shard}-replica-{number}" for shard in range(shards) for number in range(replicas)),
    ]


def load(layout: Layout) -> Description | None:
    """The description in ``layout``, None when the directory holds none.

    Raises:
        Refused: it is newer than this version, damaged, or the directory is something else.
    """
    root = layout.root
    try:
        content = layout.description.read_bytes()
    except FileNotFoundError:
        strangers = _strangers(root)
        if strangers:
            raise Refused(
                f"{root} is no AiDb data directory: it holds {strangers}; choose an empty one with --data"
            ) from None
        return None
    except OSError as error:
        raise Refused(f"cannot read {layout.description}: {error.strerror}") from error
    try:
        found: dict[str, Any] = json.loads(content)
        version = found.pop("format")
        if version in (FORMAT, SECURE_FORMAT):
            source = found.pop("source", None)
            description = Description(**found, source=None if source is None else Source(**source))
            if list(description.ports) == member_names(description.shards, description.replicas):
                return description
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        version = None
    if isinstance(version, int) and version > SECURE_FORMAT:
        raise Refused(
            f"{root} was written by a newer AiDb (format {version}, this one knows {SECURE_FORMAT}): "
            "upgrade aidb"
        )
    raise Refused(f"{layout.description} is damaged: restore it, or choose another directory with --data")


def save(layout: Layout, description: Description) -> None:
    """Write a new description durably.

    Raises:
        OSError: no space, no right.
    """
    version = SECURE_FORMAT if description.secure else FORMAT
    members = asdict(description)
    if description.source is None:
        del members["source"]  # which older programs do not know
    content = json.dumps({"format": version, **members}, indent=2) + "\n"
    write_atomically(layout.description, content.encode(), durable=True)


def _strangers(root: Path) -> str:
    """Up to three names in ``root`` that make it a directory of something else."""
    try:
        names = sorted(entry.name for entry in root.iterdir() if entry.name != "lost+found")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Refused(f"cannot read the data directory {root}: {error.strerror}") from error
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _check_url(option: str, url: str) -> None:
    try:
        parse(url)
    except Unusable as error:
        raise Refused(f"{option}: {error}") from error


def _check_range(option: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise Refused(f"{option} {value} is out of range: {low} to {high}")
