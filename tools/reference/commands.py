"""The command lines, as typer describes them: every command and option."""

from __future__ import annotations

import re

import typer
from aidb_operator.kubectl.app import app as kubectl
from typer.cli import get_docs_for_click
from typer.main import get_command

from aidb.admin.app import app as admin
from aidb.cli.app import app as user

_HEAD = """# Commands and options

Made by `make gen` from the programs; `--help` says the same. What they are for, where a cluster is looked
for, exit codes and JSON: [the command line](../cli.md), [kubectl aidb](../kubernetes/kubectl.md).

"""
_PROGRAMS = (("aidb", user), ("aidb-admin", admin), ("kubectl aidb", kubectl))


def page() -> str:
    return _HEAD + "\n".join(_program(name, app) for name, app in _PROGRAMS)


def _program(name: str, app: typer.Typer) -> str:
    command = get_command(app)
    with command.make_context(name, [], resilient_parsing=True) as context:
        made = get_docs_for_click(obj=command, ctx=context, name=name, title=name)
    return _deeper(made)


def _deeper(text: str) -> str:
    """A level below the page's title, usage as words; what looks like a tag and is no code is none."""
    text = re.sub(r"\*\*Usage\*\*:\n\n```console\n\$ (.*)\n```", r"**Usage**: `\1`", text)
    lines = [f"#{line}" if line.startswith("#") else _plain(line).rstrip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _plain(line: str) -> str:
    parts = line.split("`")
    parts[::2] = [re.sub(r"\\?<(?=[a-zA-Z])", "&lt;", part) for part in parts[::2]]
    return "`".join(parts)
