"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.cli import complete

Objects = Annotated[
    str | None,
    typer.Option(
        "--objects",
        metavar="URL",
        help="the object store",
        show_default="that of the local cluster in --data",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="UID", help="whose objects, where the store has several clusters'"),
]
Shard = Annotated[
    int | None,
    typer.Option("--shard", min=0, max=65534, autocompletion=complete.shards, help="of one shard only"),
]
AtOnce = Annotated[int, typer.Option("--parallel", min=1, max=64, help="objects at a time")]
DEFAULT_DATA = Path(".aidb")
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="return when it serves")]
