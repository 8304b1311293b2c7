"""The programs of a local cluster and how each is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from aidb.local import secure
from aidb.local.description import NO_OBJECTS, Description
from aidb.local.layout import Layout

# Stopped one group after the other: whoever is asked less by the others goes first.
STOP_ORDER = ("router", "replica", "primary", "coordinator")
# -P keeps the working directory off the module path.
_PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True, slots=True)
class Program:
    """``needs`` is a port somebody must listen on before this program is started."""

    name: str
    role: str
    command: tuple[str, ...]
    needs: int | None = None


def programs(description: Description, layout: Layout) -> list[Program]:
    """All programs in start order."""
    return [_program(name, description, layout) for name in description.ports]


def role_of(name: str) -> str:
    """Of ``coordinator``, ``router-0``, ``shard-1-primary``, ``shard-1-replica-0``."""
    return next(role for role in STOP_ORDER if role in name)


def _program(name: str, description: Description, layout: Layout) -> Program:
    role = role_of(name)
    listen: tuple[str, ...] = (
        "--listen",
        description.address(name),
        "--metrics",
        f"127.0.0.1:{description.metrics_port(name)}",
    )
    if description.secure:
        tls, tokens = secure.tls_directory(layout, name), secure.tokens_file(layout)
        listen += ("--tls", str(tls), "--tokens", str(tokens))
    data = ("--data", str(layout.directory(name)))
    if role == "coordinator":
        shards = ("--shards", str(description.shards), "--cluster-uid", description.cluster_uid)
        # On one machine, what keeps the log's end is another process, not another node (D5).
        mode = ("--durability", description.durability, "--tail-same-node")
        options = (*data, *listen, *shards, *mode, *_objects(description, layout))
        return Program(name, role, (*_PYTHON, "aidb_coordinator", *options))
    command = [*_PYTHON, "aidb_node", role, "--coordinator", description.coordinator, "--name", name, *listen]
    if role != "router":
        command += ["--shard", name.split("-")[1]]
    if role == "primary":
        command += [*data, "--sync", description.sync, "--tail-same-node"]
        if description.objects != NO_OBJECTS:
            command += _objects(description, layout)
            # On the disk of the data itself: less is kept than in a store of its own.
            command += [] if description.objects else ["--snapshot-keep-days", "1"]
    return Program(name, role, tuple(command), needs=description.ports["coordinator"])


def _objects(description: Description, layout: Layout) -> tuple[str, ...]:
    """The store of the second copy, for those who write to it."""
    if description.objects == NO_OBJECTS:
        return ()
    return ("--objects", description.objects or layout.objects.as_uri())
