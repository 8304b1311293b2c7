"""Files of records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import (
    Address,
    FileFormat,
    Format,
    Output,
    Timeout,
)

commands = typer.Typer()


@commands.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="a file, or - for standard input", metavar="FILE")],
    format: Annotated[FileFormat, typer.Option(help="of the file")] = FileFormat.JSONL,
    key: Annotated[
        str | None,
        typer.Option(
            help="the field that is the key; the value is the whole record (deb822: Package; jsonl: pairs)",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="records sent together", min=1, max=100_000)] = 2000,
    strict: Annotated[bool, typer.Option("--strict", help="stop at the first rejected record")] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="write rejected records' lines and reasons here", metavar="FILE", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on where an interrupted import of FILE stopped")
    ] = False,
    address: Address = None,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Load a file of records. Exit code 6: done, but some records were rejected."""
    from aidb.cli.importing import Request
    from aidb.cli.importing import import_file as run

    request = Request(file, format.value, key, batch, strict, rejects, resume)
    run(request, address, timeout, output is Output.JSON)


@commands.command()
def export(
    file: Annotated[str, typer.Argument(help="a file, or - for standard output", metavar="FILE")],
    format: Annotated[FileFormat, typer.Option(help="of the file")] = FileFormat.JSONL,
    key: Annotated[
        str | None,
        typer.Option(help="jsonl: write records that were imported with --key", show_default=False),
    ] = None,
    prefix: Annotated[str, typer.Option(help="keys that begin with")] = "",
    ordered: Annotated[bool, typer.Option("--ordered", help="in key order, not slot by slot")] = False,
    address: Address = None,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Write all records to a file that import reads back. Exit code 6: some do not fit the format."""
    from aidb.cli.exporting import export_file as run

    run(file, format.value, key, prefix, ordered, address, timeout, output is Output.JSON)
