"""The commands that show the cluster, and their parameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import Address, Format, Output, Timeout, duration

commands = typer.Typer()

Watching = Annotated[bool, typer.Option("--watch", help="again and again, until Ctrl-C")]
Every = Annotated[
    float, typer.Option("--every", help="with --watch: how often", parser=duration, metavar="DURATION")
]
Times = Annotated[int, typer.Option("--times", min=0, help="with --watch: so often; 0 = without end")]


@commands.command("list-shards")
def list_shards(
    address: Address = None,
    watch: Watching = False,
    every: Every = 2.0,
    times: Times = 0,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """List the shards: state, slots, keys, bytes, primary, replicas."""
    from aidb.admin.shards import list_shards as run

    _draw(lambda: run(address, timeout, output), output, watch=watch, every=every, times=times)


@commands.command("status")
def status(
    address: Address = None,
    watch: Watching = False,
    every: Every = 2.0,
    times: Times = 0,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Show the cluster and all its programs, as `aidb status`."""
    from aidb.admin.shards import status as run

    _draw(lambda: run(address, timeout, output), output, watch=watch, every=every, times=times)


@commands.command("moves")
def moves(
    address: Address = None,
    cancel: Annotated[str | None, typer.Option(metavar="ID", help="end this one; the slots stay")] = None,
    watch: Watching = False,
    every: Every = 2.0,
    times: Times = 0,
    output: Format = Output.TABLE,
) -> None:
    """Show the slot moves under way and the last that ended, or cancel one."""
    from aidb.admin.moves import cancel as end
    from aidb.admin.moves import show

    if cancel is not None:
        raise typer.Exit(end(address, cancel, output))
    _draw(lambda: show(address, output), output, watch=watch, every=every, times=times)


topology = typer.Typer(help="The document that says who owns which slots.", no_args_is_help=True)
commands.add_typer(topology, name="topology")


@topology.command("show")
def topology_show(
    address: Address = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            dir_okay=False,
            metavar="FILE",
            help="a coordinator's topology.json, or a copy of one",
            show_default="as the cluster says",
        ),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Print the topology: shards, their slots, moves under way."""
    from aidb.admin.topology import show

    raise typer.Exit(show(address, file, output))


@topology.command("history")
def topology_history(
    address: Address = None,
    after: Annotated[int, typer.Option(min=0, metavar="VERSION", help="only later ones")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="so many, the newest")] = 20,
    output: Format = Output.TABLE,
) -> None:
    """Print who changed the topology when, and what: the coordinator keeps the last 4,096 versions."""
    from aidb.admin.history import history

    raise typer.Exit(history(address, after, limit, output))


@commands.command()
def report(
    address: Address = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--file",
            dir_okay=False,
            metavar="FILE",
            help="that does not exist",
            show_default="aidb-report-CLUSTER-TIME.tar.gz",
        ),
    ] = None,
    tail: Annotated[int, typer.Option(min=1, max=100_000, help="lines of each log")] = 2000,
    timeout: Timeout = 5.0,
    output: Format = Output.TABLE,
) -> None:
    """Make an archive of what is known about the cluster, without secrets, keys and values, for who is to
    help. What does not answer is named in it; logs are those of the local cluster in $AIDB_DATA or ./.aidb.
    """
    from aidb.admin.report import report as run

    raise typer.Exit(run(address, into, output, tail=tail, timeout=timeout))


def _draw(draw: Callable[[], int], how: Output, *, watch: bool, every: float, times: int) -> None:
    from aidb.admin.watching import Watch

    raise typer.Exit(Watch(watch, every, times).draw(draw, how))
