"""The commands and their parameters. Their work is imported when they run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import Data, Format, Output, duration

app = typer.Typer(
    help="Looks into the files of an AiDb store, verifies and repairs it; tokens and certificates.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")]
Store = Annotated[Path, typer.Argument(exists=True, file_okay=False, metavar="DIR")]
Entries = Annotated[bool, typer.Option("--entries/--no-entries", help="print every entry")]


@app.command("dump-sst")
def dump_sst(file: File, output: Format = Output.TABLE, entries: Entries = True) -> None:
    """Print a table: entries, blocks, properties. What is damaged is named; exit code 1."""
    from aidb.admin.dump import sst

    raise typer.Exit(sst(file, output, entries=entries))


@app.command("dump-log")
def dump_log(file: File, output: Format = Output.TABLE) -> None:
    """Print the records of a segment of the log, up to damage; exit code 1 if there is any."""
    from aidb.admin.dump import log

    raise typer.Exit(log(file, output))


@app.command("dump-manifest")
def dump_manifest(file: File, output: Format = Output.TABLE) -> None:
    """Print the edits of a manifest: which tables make up the store. Exit code 1 if it is damaged."""
    from aidb.admin.dump import manifest

    raise typer.Exit(manifest(file, output))


@app.command("verify-store")
def verify_store(store: Store, output: Format = Output.TABLE) -> None:
    """Read everything in a store that is not open, and say what is damaged. Exit code 1 if anything is."""
    from aidb.admin.repair import verify

    raise typer.Exit(verify(store, output))


@app.command("repair-store")
def repair_store(
    store: Store,
    output: Format = Output.TABLE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Make a damaged store open again. What is replaced is kept in its directory lost/."""
    from aidb.admin.repair import repair

    raise typer.Exit(repair(store, output, dry_run=dry_run, yes=yes))


tokens = typer.Typer(help="Bearer tokens: who may call what.", no_args_is_help=True)
certificates = typer.Typer(help="Certificates of a local cluster.", no_args_is_help=True)
app.add_typer(tokens, name="tokens")
app.add_typer(certificates, name="certificates")


class Role(StrEnum):
    """``--role``; each may do what those before it may."""

    MONITOR = "monitor"
    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    ADMIN = "admin"


TokenName = Annotated[str, typer.Argument(help="whose it is, in words of your choice", metavar="NAME")]
TokensFile = Annotated[
    Path | None,
    typer.Option(
        "--file", help="the file of tokens (that of the local cluster)", metavar="FILE", show_default=False
    ),
]


@tokens.command("create")
def tokens_create(
    name: TokenName,
    role: Annotated[Role, typer.Option(help="what it allows")],
    expires: Annotated[
        float | None, typer.Option(help="good for so long (for ever)", parser=duration, metavar="DURATION")
    ] = None,
    file: TokensFile = None,
) -> None:
    """Make a token and print it, once: only its hash is kept."""
    from aidb.admin.tokens import create

    create(file, name, role.value, expires)


@tokens.command("list")
def tokens_list(file: TokensFile = None, output: Format = Output.TABLE) -> None:
    """Print the tokens' names, roles and expiries."""
    from aidb.admin.tokens import list_

    list_(file, as_json=output is Output.JSON)


@tokens.command("revoke")
def tokens_revoke(name: TokenName, file: TokensFile = None) -> None:
    """Take a token away. Programs refuse it within seconds."""
    from aidb.admin.tokens import revoke

    revoke(file, name)


@certificates.command("renew")
def certificates_renew(
    data: Data = Path(".aidb"),
    authority: Annotated[
        bool,
        typer.Option("--authority", help="make one more authority, which signs from the next renewal on"),
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="trust no authority but the newest any more")
    ] = False,
) -> None:
    """Replace all certificates of a local cluster while it runs."""
    from aidb.admin.certificates import renew

    renew(data, authority=authority, forget=forget)
