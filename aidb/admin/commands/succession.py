"""Another primary of a shard."""

from __future__ import annotations

from typing import Annotated

import typer

from aidb.admin.commands.options import Wait
from aidb.cli import complete
from aidb.cli.parameters import Address, Format, Output, Timeout

commands = typer.Typer()


OneShard = Annotated[
    int, typer.Option("--shard", min=0, max=65534, autocompletion=complete.shards, help="which")
]
Reason = Annotated[str, typer.Option(help="kept with the wish, for people")]


@commands.command("hand-over")
def hand_over(
    shard: OneShard,
    address: Address = None,
    reason: Reason = "asked for",
    wait: Wait = True,
    cancel: Annotated[bool, typer.Option("--cancel", help="not any more, if it has not begun")] = False,
    timeout: Timeout = 600.0,
    output: Format = Output.TABLE,
) -> None:
    """Move a shard's primary to a new incarnation, with a directory of its own. Loses nothing, in any
    mode.
    """
    from aidb.admin import succession

    if cancel:
        raise typer.Exit(succession.cancel(address, shard, output))
    raise typer.Exit(
        succession.succeed(address, shard, output, planned=True, wait=wait, timeout=timeout, reason=reason)
    )


@commands.command("take-over")
def take_over(
    shard: OneShard,
    address: Address = None,
    reason: Reason = "asked for",
    wait: Wait = True,
    cancel: Annotated[bool, typer.Option("--cancel", help="not any more, if it has not begun")] = False,
    timeout: Timeout = 600.0,
    output: Format = Output.TABLE,
) -> None:
    """Replace a primary that is gone by a new incarnation, from the object store. In mode async what was not
    archived is lost; the old directory is kept.
    """
    from aidb.admin import succession

    if cancel:
        raise typer.Exit(succession.cancel(address, shard, output))
    raise typer.Exit(
        succession.succeed(address, shard, output, planned=False, wait=wait, timeout=timeout, reason=reason)
    )
