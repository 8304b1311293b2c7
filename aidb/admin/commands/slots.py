"""Which shard has which slots."""

from __future__ import annotations

from typing import Annotated

import typer

from aidb.cli import complete
from aidb.cli.parameters import Address, Format, Output, Timeout

commands = typer.Typer()


ToShard = Annotated[
    int,
    typer.Option("--to", min=0, max=65534, autocompletion=complete.shards, help="the shard that gets them"),
]
FromShard = Annotated[
    int | None,
    typer.Option("--from", min=0, max=65534, autocompletion=complete.shards, help="the shard that has them"),
]


@commands.command("move-slots")
def move_slots(
    to: ToShard,
    slots: Annotated[str | None, typer.Option(help="such as 0-99,200")] = None,
    count: Annotated[int, typer.Option(min=0, help="so many, the last ones of --from")] = 0,
    source: FromShard = None,
    address: Address = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would move")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="return when they have moved")] = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """Move slots to another shard while clients read and write them. Exit code 1 if a move does not end
    well.
    """
    from aidb.admin.moves import move_slots as run

    raise typer.Exit(
        run(address, slots, count, source, to, output, dry_run=dry_run, wait=wait, timeout=timeout)
    )


@commands.command()
def isolate(
    slot: Annotated[int | None, typer.Option("--slot", min=0, max=16_383, help="which")] = None,
    key: Annotated[str | None, typer.Option("--key", help="the slot of this key")] = None,
    address: Address = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would move")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="return when they have moved")] = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """Leave a hot slot (`aidb status` names them) alone on its shard: the others there move to other shards,
    by what is asked of them. Exit code 1 if a move does not end well.
    """
    from aidb.admin.isolate import isolate as run

    if (slot is None) == (key is None):
        raise typer.BadParameter("name a slot by --slot, or by --key")
    raise typer.Exit(run(address, slot, key, output, dry_run=dry_run, wait=wait, timeout=timeout))
