"""The files of a store: a look into them, check, repair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import Format, Output

commands = typer.Typer()


File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="of a store")]
Store = Annotated[
    Path, typer.Argument(exists=True, file_okay=False, metavar="DIR", help="a store that is not open")
]
Entries = Annotated[bool, typer.Option("--entries/--no-entries", help="print every entry")]


@commands.command("dump-sst")
def dump_sst(file: File, output: Format = Output.TABLE, entries: Entries = True) -> None:
    """Print a table: entries, blocks, properties. What is damaged is named; exit code 1."""
    from aidb.admin.dump import sst

    raise typer.Exit(sst(file, output, entries=entries))


@commands.command("dump-log")
def dump_log(file: File, output: Format = Output.TABLE) -> None:
    """Print the records of a segment of the log, up to damage; exit code 1 if there is any."""
    from aidb.admin.dump import log

    raise typer.Exit(log(file, output))


@commands.command("dump-manifest")
def dump_manifest(file: File, output: Format = Output.TABLE) -> None:
    """Print the edits of a manifest: which tables make up the store. Exit code 1 if it is damaged."""
    from aidb.admin.dump import manifest

    raise typer.Exit(manifest(file, output))


@commands.command("verify-store")
def verify_store(store: Store, output: Format = Output.TABLE) -> None:
    """Read everything in a store that is not open, and say what is damaged. Exit code 1 if anything is."""
    from aidb.admin.repair import verify

    raise typer.Exit(verify(store, output))


@commands.command("repair-store")
def repair_store(
    store: Store,
    output: Format = Output.TABLE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Make a damaged store open again. What is replaced is kept in its directory lost/."""
    from aidb.admin.repair import repair

    raise typer.Exit(repair(store, output, dry_run=dry_run, yes=yes))
