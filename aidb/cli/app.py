"""The command line: what commands connect with, and the commands in the order of `--help`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.commands import files, keys, local, looking, measuring

app = typer.Typer(
    help="AiDb: an elastic key-value cluster. Start one with 'aidb up'.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def connecting(
    tls: Annotated[
        Path | None,
        typer.Option(help="ca.crt, tls.crt, tls.key for a secured cluster", metavar="DIR", envvar="AIDB_TLS"),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="with the bearer token", metavar="FILE", envvar="AIDB_TOKEN_FILE"),
    ] = None,
    direct: Annotated[
        bool | None,
        typer.Option(
            "--direct/--no-direct",
            help="whether data commands ask the cluster's members themselves, or only the address given, "
            "which has to be a router's (through a port-forward)",
            envvar="AIDB_DIRECT",
            show_default="direct",
        ),
    ] = None,
    keyspace: Annotated[
        int | None,
        typer.Option(
            help="of data commands: keys of different keyspaces never meet",
            envvar="AIDB_KEYSPACE",
            metavar="N",
            min=0,
            max=(1 << 32) - 1,
            show_default="0",
        ),
    ] = None,
) -> None:
    """What commands connect with; of a local cluster they find it themselves."""
    if direct is not None:
        os.environ["AIDB_DIRECT"] = str(int(direct))
    if keyspace is not None:
        os.environ["AIDB_KEYSPACE"] = str(keyspace)
    for name, given in (("AIDB_TLS", tls), ("AIDB_TOKEN_FILE", token_file)):
        if given is not None:
            os.environ[name] = str(given)


for concern in (local, looking, keys, files, measuring):
    app.add_typer(concern.commands)
