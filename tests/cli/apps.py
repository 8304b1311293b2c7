"""The three command lines, and a way through all their commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from aidb.admin.app import app as admin
from aidb.cli.app import app as aidb

APPS: dict[str, typer.Typer] = {"aidb": aidb, "aidb-admin": admin}


def with_plugin() -> dict[str, typer.Typer]:
    """And the plugin of kubectl, which is loaded when it is asked for."""
    from aidb_operator.kubectl.app import app as kubectl

    return {**APPS, "kubectl aidb": kubectl}


def commands() -> Iterator[tuple[str, Any]]:
    """All of them, also groups and the programs themselves, by what is typed."""
    for name, app in with_plugin().items():
        yield from _below(name, typer.main.get_command(app))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, found in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {child}", found)
