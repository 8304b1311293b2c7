"""The command line: its commands, in the order of `--help`."""

from __future__ import annotations

import typer

from aidb.admin.commands import (
    looking,
    recovery,
    scaling,
    security,
    shaping,
    slots,
    snapshots,
    store_files,
    succession,
)
from aidb.cli.connecting import connecting

app = typer.Typer(
    help="Backups and recovery; the files of a store: a look into them, repair; tokens and certificates.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.callback()(connecting)

for concern in (shaping, looking, snapshots, recovery, succession, slots, scaling, store_files, security):
    app.add_typer(concern.commands)
