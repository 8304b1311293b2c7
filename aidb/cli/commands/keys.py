"""One key, or a range of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import (
    Address,
    Base64,
    Format,
    Key,
    Output,
    Timeout,
    duration,
)

commands = typer.Typer()


@commands.command()
def get(
    key: Key,
    base64: Base64 = False,
    strong: Annotated[bool, typer.Option("--strong", help="from the primary, past all caches")] = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Print a key's value, byte for byte. Exit code 3: there is no such key."""
    from aidb.cli.keys import get as run

    run(key, base64, strong, address, timeout, output is Output.JSON)


@commands.command()
def put(
    key: Key,
    value: Annotated[str | None, typer.Argument(help="the value; without it, standard input")] = None,
    file: Annotated[
        Path | None, typer.Option(help="take the value from a file", metavar="FILE", show_default=False)
    ] = None,
    ttl: Annotated[
        float | None, typer.Option(help="expires after", parser=duration, metavar="DURATION")
    ] = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="only if there is no such key")] = False,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="only if there is such a key")] = False,
    if_version: Annotated[int | None, typer.Option(help="only over this version", min=1)] = None,
    base64: Base64 = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Write a value: VALUE, --file FILE or standard input. Exit code 4: the condition does not hold."""
    from aidb.cli.keys import put as run
    from aidb.interface import Condition

    condition = Condition.of(if_absent, if_exists, if_version)
    run(key, base64, value, file, ttl, condition, address, timeout, output is Output.JSON)


@commands.command()
def delete(
    key: Key,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="only if there is such a key")] = False,
    if_version: Annotated[int | None, typer.Option(help="only this version", min=1)] = None,
    base64: Base64 = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Remove a key, which need not exist. Exit code 4: the condition does not hold."""
    from aidb.cli.keys import delete as run
    from aidb.interface import Condition

    condition = Condition.of(False, if_exists, if_version)
    run(key, base64, condition, address, timeout, output is Output.JSON)


@commands.command()
def scan(
    prefix: Annotated[str, typer.Option(help="keys that begin with")] = "",
    start: Annotated[str, typer.Option(help="keys from this on")] = "",
    end: Annotated[str, typer.Option(help="keys before this")] = "",
    limit: Annotated[int | None, typer.Option(help="how many at most", min=1)] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="backwards")] = False,
    keys_only: Annotated[bool, typer.Option("--keys-only", help="no values")] = False,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="in key order, not slot by slot: reads the range first")
    ] = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Print keys and values."""
    from aidb.cli.keys import ScanRange
    from aidb.cli.keys import scan as run

    run(
        ScanRange.of(prefix, start, end, limit, reverse, keys_only, ordered),
        address,
        timeout,
        output is Output.JSON,
    )
