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

ValueColumn = Annotated[
    str | None,
    typer.Option(
        "--value-column",
        help="csv, tsv: the column that is the value; without it the whole row, as JSON",
        metavar="NAME",
        show_default=False,
    ),
]
Header = Annotated[
    bool,
    typer.Option("--header/--no-header", help="csv, tsv: the first row names the columns; else 1, 2, ..."),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        help="csv, tsv: one character between cells",
        metavar="CHARACTER",
        parser=lambda text: {"tab": "\t", "\\t": "\t"}.get(text, text),
        show_default="comma of csv, tab of tsv",
    ),
]


@commands.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="a file, or - for standard input", metavar="FILE")],
    format: Annotated[FileFormat, typer.Option(help="of the file")] = FileFormat.JSONL,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            "--key-column",
            help="the field or column that is the key; the value is the whole record, without --value-column "
            "(deb822: Package; others: pairs)",
            show_default=False,
        ),
    ] = None,
    value_column: ValueColumn = None,
    header: Header = True,
    delimiter: Delimiter = None,
    batch: Annotated[int, typer.Option(help="records sent together", min=1, max=100_000)] = 2000,
    strict: Annotated[bool, typer.Option("--strict", help="stop at the first rejected record")] = False,
    skip_bad: Annotated[
        bool | None,
        typer.Option(
            "--skip-bad/--check-first",
            help="leave out what is no record, or read all first and write nothing if something is bad",
            show_default="--check-first of csv and tsv, --skip-bad of others",
        ),
    ] = None,
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
    from aidb.formats import Columns

    if strict and skip_bad is not None:
        raise typer.BadParameter("--strict stops at the first: leave --skip-bad or --check-first out")
    columns = Columns(value_column, header, delimiter)
    request = Request(file, format.value, key, columns, batch, strict, skip_bad, rejects, resume)
    run(request, address, timeout, output is Output.JSON)


@commands.command()
def export(
    file: Annotated[str, typer.Argument(help="a file, or - for standard output", metavar="FILE")],
    format: Annotated[FileFormat, typer.Option(help="of the file")] = FileFormat.JSONL,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", "--key-column", help="write records that were imported with it", show_default=False
        ),
    ] = None,
    value_column: ValueColumn = None,
    header: Header = True,
    delimiter: Delimiter = None,
    prefix: Annotated[str, typer.Option(help="keys that begin with")] = "",
    ordered: Annotated[bool, typer.Option("--ordered", help="in key order, not slot by slot")] = False,
    address: Address = None,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Write all records to a file that import reads back. Exit code 6: some do not fit the format."""
    from aidb.cli.exporting import export_file as run
    from aidb.formats import Columns

    columns = Columns(value_column, header, delimiter)
    run(file, format.value, key, columns, prefix, ordered, address, timeout, output is Output.JSON)
