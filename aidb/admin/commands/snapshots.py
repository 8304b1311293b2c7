"""Snapshots in the object store: taking, listing, checking, deleting them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.admin.commands.options import DEFAULT_DATA, AtOnce, Cluster, Objects, Shard
from aidb.cli.parameters import Address, Data, Format, Output, Timeout

commands = typer.Typer()


@commands.command()
def backup(
    address: Address = None,
    shard: Shard = None,
    name: Annotated[str, typer.Option(help="kept with the snapshot, for people")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="return when it is taken")] = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """Take a snapshot of every shard, or of one, into the object store."""
    from aidb.admin.backup import backup as run

    raise typer.Exit(run(address, shard, name, output, wait=wait, timeout=timeout))


@commands.command()
def backups(
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    shard: Shard = None,
    output: Format = Output.TABLE,
) -> None:
    """List the snapshots in the object store, and how far the archive of the log goes."""
    from aidb.admin.backups import backups as run
    from aidb.admin.places import Where

    raise typer.Exit(run(Where(objects, cluster, data), shard, output))


@commands.command()
def verify(
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    shard: Shard = None,
    parallel: AtOnce = 8,
    output: Format = Output.TABLE,
) -> None:
    """Read every object that a restore may need and check it. Exit code 1 if anything is damaged."""
    from aidb.admin.backups import verify as run
    from aidb.admin.places import Where

    raise typer.Exit(run(Where(objects, cluster, data), shard, output, at_once=parallel))


@commands.command()
def drill(
    address: Address = None,
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    shard: Shard = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="where the copy is made, which goes afterwards",
            show_default="the system's temporary directory",
        ),
    ] = None,
    parallel: AtOnce = 8,
    timeout: Timeout = 60.0,
    output: Format = Output.TABLE,
) -> None:
    """Restore the newest state of every shard, or of one, to scratch, and compare it with the primary at one
    LSN, key by key. Exit code 1 if anything differs. To be run where the primaries are.
    """
    from aidb.admin.drill import drill as run
    from aidb.admin.places import Where

    where = Where(objects, cluster, data)
    raise typer.Exit(run(where, address, shard, scratch, output, at_once=parallel, timeout=timeout))


@commands.command()
def retention(
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    shard: Shard = None,
    keep: Annotated[int, typer.Option(min=1, help="snapshots to keep at least")] = 24,
    keep_days: Annotated[float, typer.Option(min=0, help="and all that are younger")] = 7.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be deleted")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="delete")] = False,
    output: Format = Output.TABLE,
) -> None:
    """Delete old snapshots, and what no snapshot needs any more. Primaries do so after each snapshot."""
    from aidb.admin.backups import retention as run
    from aidb.admin.places import Where
    from aidb.durability.retention_plan import Policy

    where = Where(objects, cluster, data)
    raise typer.Exit(run(where, shard, output, Policy(keep, keep_days), dry_run=dry_run, yes=yes))
