"""A local cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import (
    Data,
    Durability,
    LogFormat,
    Sync,
    clock_ms,
    duration,
)
from aidb.logs.settings import FORMAT_VARIABLE

commands = typer.Typer()
DEFAULT_DATA = Path(".aidb")


@commands.command()
def up(
    data: Data = DEFAULT_DATA,
    shards: Annotated[int | None, typer.Option(help="shards of a new cluster (3)")] = None,
    replicas: Annotated[int | None, typer.Option(help="cache replicas of each shard (2)")] = None,
    port: Annotated[
        int | None,
        typer.Option(help="first port of a new cluster (7400); 0 = free ports", envvar="AIDB_PORT"),
    ] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="data is deleted when it stops")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="return when the cluster is ready")] = False,
    sync: Annotated[
        Sync | None, typer.Option(help="what a write waits for: group = disk, interval, none (group)")
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option(
            help="object store of the second copy: file:///dir, s3://bucket/prefix?..., or none "
            "(DATA/objects; none with --ephemeral)",
            metavar="URL",
        ),
    ] = None,
    durability: Annotated[
        Durability | None,
        typer.Option(help="what writes wait for besides a disk: async = nothing, replica, archived (async)"),
    ] = None,
    secure: Annotated[
        bool, typer.Option("--secure", help="a new cluster with TLS and tokens, made below its directory")
    ] = False,
    recover_from: Annotated[
        str | None,
        typer.Option(
            help="a new cluster begins with what another one has in this object store, which is only read",
            metavar="URL",
        ),
    ] = None,
    recover_uid: Annotated[
        str | None, typer.Option(help="of that cluster, where the store has several", metavar="UID")
    ] = None,
    recover_time: Annotated[
        str | None, typer.Option(help="as it was then: 2026-01-31T12:00:00Z (the newest)", metavar="TIME")
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            help="of the programs' logs, of those that are started now",
            show_default="$AIDB_LOG_FORMAT, text",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            help="how long it may take to get ready",
            parser=duration,
            metavar="DURATION",
            envvar="AIDB_UP_TIMEOUT",
        ),
    ] = 60.0,
) -> None:
    """Start a local cluster; what of it runs already is kept. Ctrl-C stops it, unless --detach."""
    from aidb.cli.up import up as run
    from aidb.local.description import Source, Wish
    from aidb.local.refusal import Refused

    if ephemeral and data != DEFAULT_DATA:
        raise Refused("--ephemeral makes its own directory: leave --data (and $AIDB_DATA) out")
    chosen = None if sync is None else sync.value
    mode = None if durability is None else durability.value
    if recover_from is None and (recover_uid or recover_time):
        raise Refused("--recover-uid and --recover-time are of --recover-from URL: give that, too")
    then = clock_ms("--recover-time", recover_time) if recover_time else 0
    source = None if recover_from is None else Source(recover_from, recover_uid or "", then)
    wish = Wish(
        shards,
        replicas,
        port,
        chosen,
        ephemeral,
        objects=objects,
        secure=secure,
        durability=mode,
        source=source,
    )
    if log_format is not None:
        # The programs have the environment of who starts them.
        os.environ[FORMAT_VARIABLE] = log_format.value
    run(data, wish, detach=detach, timeout=timeout)


@commands.command()
def down(data: Data = DEFAULT_DATA) -> None:
    """Stop the local cluster in the data directory. The data stays."""
    from aidb.cli.up import down as run

    run(data)
