"""Profiles: named connections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.cli import complete
from aidb.cli.parameters import Format, Output

commands = typer.Typer()
profile = typer.Typer(
    help="Named connections, for --profile and $AIDB_PROFILE. They are kept in $AIDB_CONFIG, or "
    "~/.config/aidb/config.toml.",
    no_args_is_help=True,
)
commands.add_typer(profile, name="profile")

Name = Annotated[str, typer.Argument(help="of the profile", metavar="NAME", autocompletion=complete.profiles)]


@profile.command("list")
def list_profiles(output: Format = Output.TABLE) -> None:
    """List the profiles; * is the current one."""
    from aidb.cli.profile.commands import list_all as run

    run(output)


@profile.command("show")
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            help="of the profile",
            metavar="[NAME]",
            autocompletion=complete.profiles,
            show_default="the one in use",
        ),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Print the entries of a profile."""
    from aidb.cli.profile.commands import show as run

    run(name, output)


@profile.command("set")
def set_entries(
    name: Name,
    address: Annotated[str | None, typer.Option(help="as of --address", metavar="HOST:PORT")] = None,
    tls: Annotated[
        Path | None, typer.Option(help="a directory with ca.crt, tls.crt, tls.key", metavar="DIR")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="with the token, which is not kept in the profile", metavar="FILE")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="of the names in certificates", metavar="DOMAIN")] = None,
    direct: Annotated[
        bool | None, typer.Option("--direct/--no-direct", help="whether members can be reached themselves")
    ] = None,
    keyspace: Annotated[
        int | None, typer.Option(help="that data commands work in", min=0, max=(1 << 32) - 1)
    ] = None,
    output: Annotated[
        Output | None, typer.Option("-o", "--output", help="how commands print, without -o")
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", help="take this entry away; may be repeated", metavar="ENTRY"),
    ] = None,
) -> None:
    """Make a profile, or change entries of one; others stay as they are.

    As in: aidb profile set prod --address db.example.com:7400 --tls /etc/aidb/tls --token-file token
    """
    from aidb.cli.profile.commands import set_entries as run

    given = {
        "address": address,
        "tls": None if tls is None else str(tls.expanduser().absolute()),
        "token_file": None if token_file is None else str(token_file.expanduser().absolute()),
        "domain": domain,
        "direct": direct,
        "keyspace": keyspace,
        "output": None if output is None else output.value,
    }
    run(name, {entry: value for entry, value in given.items() if value is not None}, unset or [])


@profile.command("use")
def use(
    name: Annotated[
        str | None,
        typer.Argument(help="of the profile", metavar="[NAME]", autocompletion=complete.profiles),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="no profile is current any more")] = False,
) -> None:
    """Make a profile the current one: commands go by it unless they are told otherwise."""
    from aidb.cli.profile.commands import use as run

    if (name is None) != none:
        raise typer.BadParameter("name a profile, or say --none")
    run(name)


@profile.command("remove")
def remove(name: Name) -> None:
    """Remove a profile. The files that it names stay."""
    from aidb.cli.profile.commands import remove as run

    run(name)
