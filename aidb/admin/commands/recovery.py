"""Going back, and getting back what was left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.admin.commands.options import DEFAULT_DATA, AtOnce, Cluster, Objects, Wait
from aidb.cli import complete
from aidb.cli.parameters import Address, Data, FileFormat, Format, Output, Timeout

commands = typer.Typer()


@commands.command()
def recover(
    shard: Annotated[
        int | None,
        typer.Option(
            "--shard",
            min=0,
            max=65534,
            autocompletion=complete.shards,
            help="one shard",
            show_default="all, and the topology, of the local cluster in --data",
        ),
    ] = None,
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            file_okay=False,
            metavar="DIR",
            help="where to",
            show_default="back into the local cluster in --data, which must be down",
        ),
    ] = None,
    to_lsn: Annotated[int | None, typer.Option("--to-lsn", min=0, help="the state after this LSN")] = None,
    to_time: Annotated[
        str | None,
        typer.Option(
            "--to-time", metavar="TIME", help="the state then: 2026-01-31T12:00:00Z, or ms since 1970"
        ),
    ] = None,
    snapshot: Annotated[str, typer.Option("--snapshot", help="begin from this one")] = "",
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="stop where the log is damaged, and take what is before")
    ] = False,
    parallel: AtOnce = 8,
    shards_at_once: Annotated[
        int, typer.Option("--shards-at-once", min=1, max=64, help="of a whole cluster")
    ] = 4,
    output: Format = Output.TABLE,
) -> None:
    """Restore a shard, or a whole cluster that is down: the newest state, or that of an LSN (of one shard) or
    a time. Damage stops it, and the loss is named. What was there before is kept aside.
    """
    from aidb.admin.places import Where
    from aidb.admin.recover import recover as run
    from aidb.admin.recover import target_of
    from aidb.cli.exits import Exit, Failure

    where, target = Where(objects, cluster, data), target_of(to_lsn, to_time)
    if shard is None:
        from aidb.admin.recover_cluster import recover_cluster

        if into or snapshot:
            raise Failure("--into and --snapshot are for one shard: give --shard", Exit.BAD_INPUT)
        raise typer.Exit(
            recover_cluster(
                where,
                target,
                output,
                at_once=parallel,
                shards_at_once=shards_at_once,
                accept_loss=accept_loss,
            )
        )
    raise typer.Exit(
        run(where, shard, into, target, output, label=snapshot, at_once=parallel, accept_loss=accept_loss)
    )


@commands.command()
def restore(
    address: Address = None,
    shard: Annotated[
        list[int] | None,
        typer.Option(
            "--shard",
            min=0,
            max=65534,
            autocompletion=complete.shards,
            help="several times for several; the whole cluster",
        ),
    ] = None,
    to_lsn: Annotated[int | None, typer.Option("--to-lsn", min=1, help="of one --shard")] = None,
    to_time: Annotated[
        str | None, typer.Option("--to-time", metavar="TIME", help="as in 2026-01-31T12:00:00Z; the newest")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="what they have now is given up")] = False,
    wait: Wait = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """A cluster that runs goes back, or some of its shards: new incarnations restore themselves from the
    object store. The old directories are kept. All of them serve in the end, or none.
    """
    from aidb.admin.recover import target_of
    from aidb.admin.restore import restore as run
    from aidb.cli.exits import Exit, Failure

    if not yes:
        raise Failure("nothing was done: say --yes, what they have now is given up", Exit.BAD_INPUT)
    target = target_of(to_lsn, to_time)
    raise typer.Exit(run(address, shard or [], target, output, wait=wait, timeout=timeout))


@commands.command()
def salvage(
    directory: Annotated[
        Path,
        typer.Argument(
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="a primary's data directory, or a store in it that a restore kept aside",
        ),
    ],
    address: Address = None,
    apply: Annotated[
        bool, typer.Option("--apply/--dry-run", help="write what is not newer in the cluster")
    ] = False,
    only_existing: Annotated[
        bool,
        typer.Option(
            "--only-existing",
            help="leave out keys that the cluster does not have: they may have been deleted",
        ),
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", dir_okay=False, metavar="FILE", help="write the records there")
    ] = None,
    format: Annotated[FileFormat, typer.Option("--format", help="of --export")] = FileFormat.JSONL,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Show what a disk that was kept aside has beyond the epoch that superseded it, and re-apply it. Nothing
    that is newer in the cluster is touched; nothing on the disk is changed.
    """
    from aidb.admin.salvage import salvage as run

    raise typer.Exit(
        run(
            directory,
            address,
            output,
            apply=apply,
            only_existing=only_existing,
            export=export,
            format=format.value,
            timeout=timeout,
        )
    )
