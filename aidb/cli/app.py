"""The command line: what commands connect with, and the commands in the order of `--help`."""

from __future__ import annotations

import typer

from aidb.cli.commands import files, keys, local, looking, measuring, profile
from aidb.cli.connecting import connecting

app = typer.Typer(
    help="AiDb: an elastic key-value cluster. Start one with 'aidb up'.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.callback()(connecting)

for concern in (local, looking, keys, files, measuring, profile):
    app.add_typer(concern.commands)
