"""Tokens, certificates, and the audit log."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import Data, Format, Output, duration

tokens = typer.Typer(help="Bearer tokens: who may call what.", no_args_is_help=True)
certificates = typer.Typer(help="Certificates of a local cluster.", no_args_is_help=True)
commands = typer.Typer()
commands.add_typer(tokens, name="tokens")
commands.add_typer(certificates, name="certificates")


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
    keyspace: Annotated[
        list[int] | None,
        typer.Option(
            "--keyspace",
            min=0,
            max=(1 << 32) - 1,
            metavar="N",
            help="for this keyspace alone; again for more",
        ),
    ] = None,
    prefix: Annotated[
        list[str] | None,
        typer.Option("--prefix", metavar="TEXT", help="for keys that begin with it alone; again for more"),
    ] = None,
    base64: Annotated[bool, typer.Option("--base64", help="prefixes are given in base64")] = False,
    file: TokensFile = None,
) -> None:
    """Make a token and print it, once: only its hash is kept. It is for all keys, or limited to keyspaces, to
    prefixes, or to prefixes in keyspaces; a scan with a limited one names a prefix or bounds within one.
    """
    from aidb.admin.tokens import Limits, create

    create(file, name, role.value, expires, Limits.given(keyspace or (), prefix or (), is_base64=base64))


@tokens.command("list")
def tokens_list(file: TokensFile = None, output: Format = Output.TABLE) -> None:
    """Print the tokens' names, roles, limits and expiries."""
    from aidb.admin.tokens import list_

    list_(file, as_json=output is Output.JSON)


@tokens.command("revoke")
def tokens_revoke(name: TokenName, file: TokensFile = None) -> None:
    """Take a token away. Programs refuse it within seconds."""
    from aidb.admin.tokens import revoke

    revoke(file, name)


@commands.command("audit")
def audit(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="logs that have lines of it; - is stdin (those of the local cluster in --data)",
            show_default=False,
        ),
    ] = None,
    data: Data = Path(".aidb"),
    since: Annotated[
        float | None, typer.Option(help="of so long (all)", parser=duration, metavar="DURATION")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="how many at most, the newest")] = 1000,
    output: Format = Output.TABLE,
) -> None:
    """Print the audit log: who did what is for administrators, when, and what became of it."""
    from aidb.admin.audit import audit as run

    raise typer.Exit(run(data, files or (), since, limit, output))


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
