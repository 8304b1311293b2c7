"""The programs of a local cluster and how each is started."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from aidb.local import secure
from aidb.local.description import MAX_SHARDS, NO_OBJECTS, Description
from aidb.local.incarnations import directory_of, primary_name
from aidb.local.layout import Layout
from aidb.local.replicas import name_of
from aidb.local.wanted import Wanted

# Stopped one group after the other: whoever is asked less by the others goes first.
STOP_ORDER = ("router", "replica", "primary", "coordinator")
# All shards have the same cores: a move costs its source, its target and whoever learns of it CPU time that
# the cluster's clients need. Six at once on two cores kept them waiting for seconds.
_MOVES_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
# -P keeps the working directory off the module path.
_PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True, slots=True)
class Program:
    """``needs`` is a port somebody must listen on before this program is started."""

    name: str
    role: str
    command: tuple[str, ...]
    needs: int | None = None


def programs(description: Description, layout: Layout, wanted: Wanted) -> list[Program]:
    """All programs in start order."""
    found = [_program(name, description, layout) for name in ("coordinator", "router-0")]
    for shard, incarnations in wanted.incarnations.items():
        found += [_primary(shard, number, description, layout) for number in incarnations.running]
    for shard, numbers in wanted.replicas.items():
        found += [_program(name_of(shard, number), description, layout) for number in numbers]
    return found


def role_of(name: str) -> str:
    """Of ``coordinator``, ``router-0``, ``shard-1-primary``, ``shard-1-replica-0``."""
    return next(role for role in STOP_ORDER if role in name)


def _program(name: str, description: Description, layout: Layout) -> Program:
    role = role_of(name)
    listen = _listen(description, layout, name)
    if role == "coordinator":
        command = [*_PYTHON, "aidb_coordinator", "--data", str(layout.directory(name)), *listen]
        command += ["--shards", str(description.shards), "--cluster-uid", description.cluster_uid]
        command += ["--provisioner", "local", "--replicas", str(description.replicas)]
        command += ["--max-shards", str(MAX_SHARDS), "--moves-at-once", str(_MOVES_AT_ONCE)]
        # On one machine, what keeps the log's end is another process, not another node (D5).
        command += ["--same-machine", "--durability", description.durability, "--tail-same-node"]
        command += [*_objects(description, layout), *_source(description)]
        return Program(name, role, tuple(command))
    return Program(name, role, _node(role, name, description, listen), needs=description.ports["coordinator"])


def _primary(shard: int, incarnation: int, description: Description, layout: Layout) -> Program:
    name = primary_name(shard, incarnation)
    # The certificate speaks for the program, not for one of its lives.
    listen = _listen(description, layout, name, certificate=primary_name(shard, 1))
    data = ("--data", str(directory_of(layout, shard, incarnation)))
    command = [*_node("primary", name, description, listen), *data, "--sync", description.sync]
    command += ["--tail-same-node"]
    command += _objects(description, layout)
    if description.objects == "":
        # On the disk of the data itself: less is kept than in a store of its own.
        command += ["--snapshot-keep-days", "1"]
    if incarnation > 1:
        command += ["--incarnation", str(incarnation)]
    return Program(name, "primary", tuple(command), needs=description.ports["coordinator"])


def _node(role: str, name: str, description: Description, listen: tuple[str, ...]) -> tuple[str, ...]:
    command = (*_PYTHON, "aidb_node", role, "--coordinator", description.coordinator, "--name", name, *listen)
    return command if role == "router" else (*command, "--shard", name.split("-")[1])


def _objects(description: Description, layout: Layout) -> tuple[str, ...]:
    if description.objects == NO_OBJECTS:
        return ()
    return ("--objects", description.objects or layout.objects.as_uri())


def _source(description: Description) -> tuple[str, ...]:
    """Obeyed while there is no topology; nothing once there is one."""
    source = description.source
    if source is None:
        return ()
    uid = ("--recover-uid", source.uid) if source.uid else ()
    clock = ("--recover-time", str(source.clock_ms)) if source.clock_ms else ()
    return ("--recover-from", source.url, *uid, *clock)


def _listen(description: Description, layout: Layout, name: str, certificate: str = "") -> tuple[str, ...]:
    """Shards, replicas and incarnations that came later listen wherever there is a free port."""
    port = description.ports.get(name, 0)
    metrics = description.metrics_port(name) if port else 0
    listen: tuple[str, ...] = ("--listen", f"127.0.0.1:{port}", "--metrics", f"127.0.0.1:{metrics}")
    if description.secure:
        tls, tokens = secure.tls_directory(layout, certificate or name), secure.tokens_file(layout)
        listen += ("--tls", str(tls), "--tokens", str(tokens))
    return listen
