"""What commands connect with: the options before a command's name, of `aidb` and `aidb-admin`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.complete import profiles


def connecting(
    profile: Annotated[
        str | None,
        typer.Option(
            help="a named connection ('aidb profile list'); what it says wins over the environment",
            metavar="NAME",
            show_default="$AIDB_PROFILE, the current one",
            autocompletion=profiles,
        ),
    ] = None,
    tls: Annotated[
        Path | None,
        typer.Option(
            help="ca.crt, tls.crt, tls.key for a secured cluster",
            metavar="DIR",
            show_default="$AIDB_TLS, the profile's, the local cluster's",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="with the bearer token",
            metavar="FILE",
            show_default="$AIDB_TOKEN_FILE, $AIDB_TOKEN, the profile's, the local cluster's",
        ),
    ] = None,
    direct: Annotated[
        bool | None,
        typer.Option(
            "--direct/--no-direct",
            help="whether data commands ask the cluster's members themselves, or only the address given, "
            "which has to be a router's (through a port-forward)",
            show_default="$AIDB_DIRECT, the profile's, direct",
        ),
    ] = None,
    keyspace: Annotated[
        int | None,
        typer.Option(
            help="of data commands: keys of different keyspaces never meet",
            min=0,
            max=(1 << 32) - 1,
            show_default="$AIDB_KEYSPACE, the profile's, 0",
        ),
    ] = None,
) -> None:
    """What commands connect with; of a local cluster they find it themselves."""
    from aidb.cli.exits import Exit, Failure
    from aidb.cli.profile.choice import choose
    from aidb.cli.profile.entries import Profile, Unfit

    try:
        flags = Profile(
            tls=None if tls is None else str(tls),
            token_file=None if token_file is None else str(token_file),
            direct=direct,
            keyspace=keyspace,
        )
    except Unfit as error:
        raise Failure(str(error), Exit.BAD_INPUT) from error
    choose(profile, flags)
