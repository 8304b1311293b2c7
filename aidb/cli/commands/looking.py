"""What goes on in the cluster, and what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import (
    Address,
    Format,
    Output,
    Timeout,
    duration,
)

commands = typer.Typer()


@commands.command()
def status(address: Address = None, timeout: Timeout = 5.0, output: Format = Output.TABLE) -> None:
    """Show shards, members, the coordinator."""
    from aidb.cli.status import status as run

    run(address, timeout, output is Output.JSON)


@commands.command()
def top(
    address: Address = None,
    every: Annotated[
        float, typer.Option(help="between two looks", parser=duration, metavar="DURATION")
    ] = 1.0,
    timeout: Timeout = 2.0,
    once: Annotated[bool, typer.Option("--once", help="look twice, print, and end")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="look twice, write the screen as SVG, and end", metavar="FILE")
    ] = None,
) -> None:
    """Watch the cluster live: health, shards, throughput, latency, moves and backups, hot slots."""
    from aidb.cli.top.run import top as run

    run(address, every, timeout, once, picture)


@commands.command()
def events(
    address: Address = None,
    timeout: Timeout = 5.0,
    output: Format = Output.TABLE,
    after: Annotated[int, typer.Option(help="only events after this number", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="how many at most", min=1, max=1000)] = 100,
) -> None:
    """Show what happened to the cluster's members: failures, recoveries, refusals."""
    from aidb.cli.events import events as run

    run(address, timeout, after, limit, output is Output.JSON)


@commands.command()
def version(output: Format = Output.TABLE) -> None:
    """Show versions, and how the native module was built."""
    from aidb.cli.output import document, line
    from aidb.cli.version import versions

    found = versions()
    if output is Output.JSON:
        document(found)
        return
    for name, value in found.items():
        line(f"{name} {value or 'not installed'}")
