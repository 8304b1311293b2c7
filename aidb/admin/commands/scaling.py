"""How many shards and replicas by load."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from aidb.cli.parameters import Address, Format, Output, Timeout

commands = typer.Typer()


class Mode(StrEnum):
    """Of the autoscaler."""

    OFF = "off"
    RECOMMEND = "recommend"
    ON = "on"


@commands.command()
def autoscale(
    mode: Annotated[
        Mode | None, typer.Option("--mode", help="off, recommend (only say), on (carry out)")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="as in shards.limits.most=5; may be repeated"),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="NAME", help="back to the default; may be repeated")
    ] = None,
    settings: Annotated[bool, typer.Option("--settings", help="print what decisions go by")] = False,
    recommend: Annotated[
        bool, typer.Option("--recommend", hidden=True, help="as without options, for older scripts")
    ] = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """How many shards and replicas there should be by load, size and hit ratio, why, and what was begun of
    late; or set what the autoscaler does. What is set outlives restarts.
    """
    from aidb.admin import autoscale as command

    changes = mode is not None or set_ or unset
    if changes and (settings or recommend):
        raise typer.BadParameter("set something, or look at something: not both")
    if changes:
        chosen = None if mode is None else mode.value
        raise typer.Exit(command.configure(address, chosen, set_ or [], unset or [], output, timeout))
    raise typer.Exit(command.show(address, output, timeout, settings=settings))
