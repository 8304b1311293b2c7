"""Tokens and certificates."""

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
