"""The commands that change the cluster's shape, and their parameters."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from aidb.cli import complete
from aidb.cli.parameters import Address, Format, Output, Timeout

if TYPE_CHECKING:
    from aidb.v1.cluster_pb2 import StartOperationRequest

commands = typer.Typer()

DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done; nothing is")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch/--no-watch", "--wait/--no-wait", help="return when it is done; shows how far it is"
    ),
]
Count = Annotated[int, typer.Option(min=1, max=1000, help="how many")]
OfShard = Annotated[
    int, typer.Option("--shard", min=0, max=65534, autocompletion=complete.shards, help="of which shard")
]


class By(StrEnum):
    """``--by``."""

    SLOTS = "slots"
    BYTES = "bytes"
    LOAD = "load"


@commands.command("add-shard")
def add_shard(
    count: Count = 1,
    replicas: Annotated[
        int | None,
        typer.Option(min=0, max=256, help="of each", show_default="as the cluster was made"),
    ] = None,
    address: Address = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    watch: Watch = True,
    timeout: Timeout = 86_400.0,
    output: Format = Output.TABLE,
) -> None:
    """Add shards, and move slots to them until all have as many, while clients read and write."""
    request = _request("add_shard", count=count)
    if replicas is not None:
        request.replicas = replicas
    _start(request, address, output, dry_run=dry_run, yes=yes, watch=watch, timeout=timeout)


@commands.command("remove-shard")
def remove_shard(
    shard: Annotated[
        list[int],
        typer.Option(
            "--shard",
            min=0,
            max=65534,
            autocompletion=complete.shards,
            help="which; may be given several times",
        ),
    ],
    address: Address = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    watch: Watch = True,
    timeout: Timeout = 86_400.0,
    output: Format = Output.TABLE,
) -> None:
    """Move all slots of shards to the others, take a last snapshot, and let them go. Directories are kept."""
    request = _request("remove_shard", shards=shard)
    _start(request, address, output, dry_run=dry_run, yes=yes, watch=watch, timeout=timeout)


@commands.command("add-replica")
def add_replica(
    shard: OfShard,
    count: Count = 1,
    address: Address = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    watch: Watch = True,
    timeout: Timeout = 600.0,
    output: Format = Output.TABLE,
) -> None:
    """Add cache replicas to a shard."""
    request = _request("add_replica", shards=[shard], count=count)
    _start(request, address, output, dry_run=dry_run, yes=yes, watch=watch, timeout=timeout)


@commands.command("remove-replica")
def remove_replica(
    shard: OfShard,
    count: Count = 1,
    replica: Annotated[
        list[str] | None,
        typer.Option("--replica", metavar="NAME", help="this one; may be given several times"),
    ] = None,
    address: Address = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    watch: Watch = True,
    timeout: Timeout = 600.0,
    output: Format = Output.TABLE,
) -> None:
    """Remove cache replicas of a shard: those named, or the newest."""
    request = _request("remove_replica", shards=[shard], count=count, names=replica or [])
    _start(request, address, output, dry_run=dry_run, yes=yes, watch=watch, timeout=timeout)


@commands.command("rebalance")
def rebalance(
    by: Annotated[By, typer.Option(help="what is evened")] = By.SLOTS,
    without: Annotated[
        list[int] | None,
        typer.Option(
            "--without",
            min=0,
            max=65534,
            autocompletion=complete.shards,
            help="with --dry-run: as if this shard were to have no slots",
        ),
    ] = None,
    address: Address = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    watch: Watch = True,
    timeout: Timeout = 86_400.0,
    output: Format = Output.TABLE,
) -> None:
    """Move slots so that every shard has as many, or as many bytes, or as much to do: the fewest, in long
    ranges.
    """
    if without:
        from aidb.admin.rebalance import plan

        if not dry_run:
            raise typer.BadParameter(
                "--without only shows: remove-shard moves the slots and lets the shard go"
            )
        raise typer.Exit(plan(address, without, by.value, output, timeout))
    request = _request("rebalance", by=by.value)
    _start(request, address, output, dry_run=dry_run, yes=yes, watch=watch, timeout=timeout)


operations = typer.Typer(
    help="Changes of the cluster's shape: those under way, and the last that ended.",
    invoke_without_command=True,
)
commands.add_typer(operations, name="operations")
Id = Annotated[str, typer.Argument(help="of the operation", metavar="ID")]


@operations.callback()
def list_operations(
    context: typer.Context,
    address: Address = None,
    watch: Annotated[bool, typer.Option("--watch", help="until those under way have ended")] = False,
    timeout: Timeout = 86_400.0,
    output: Format = Output.TABLE,
) -> None:
    """Changes of the cluster's shape: those under way, and the last that ended."""
    if context.invoked_subcommand is None:
        from aidb.admin.operations import show

        raise typer.Exit(show(address, output, watch=watch, timeout=timeout))


@operations.command()
def pause(operation: Id, address: Address = None, output: Format = Output.TABLE) -> None:
    """Begin no more moves for it; those under way end."""
    _control(address, operation, "pause", output)


@operations.command()
def resume(operation: Id, address: Address = None, output: Format = Output.TABLE) -> None:
    """Go on with it."""
    _control(address, operation, "resume", output)


@operations.command()
def cancel(operation: Id, address: Address = None, output: Format = Output.TABLE) -> None:
    """End it where it is: slots that have moved stay, and shards that came for it and have none go again."""
    _control(address, operation, "cancel", output)


def _request(
    kind: str,
    *,
    count: int = 1,
    shards: list[int] | None = None,
    names: list[str] | None = None,
    by: str = "",
) -> StartOperationRequest:
    from aidb.v1.cluster_pb2 import StartOperationRequest

    return StartOperationRequest(kind=kind, count=count, shards=shards or [], names=names or [], by=by)


def _start(
    request: StartOperationRequest,
    address: str | None,
    output: Output,
    *,
    dry_run: bool,
    yes: bool,
    watch: bool,
    timeout: float,
) -> None:
    from aidb.admin.operations import start

    raise typer.Exit(start(address, request, output, dry_run=dry_run, yes=yes, wait=watch, timeout=timeout))


def _control(address: str | None, operation: str, action: str, output: Output) -> None:
    from aidb.admin.operations import control

    raise typer.Exit(control(address, operation, action, output))
