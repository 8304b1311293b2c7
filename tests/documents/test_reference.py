"""References say what the programs are; commands in running text exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aidb_operator.kubectl.app import app as kubectl
from typer.main import get_command

from aidb.admin.app import app as admin
from aidb.cli.app import app as user
from aidb.v1 import common_pb2
from tests.documents.blocks import ROOT, pages
from tools import generate_reference

PROGRAMS = {"aidb": get_command(user), "aidb-admin": get_command(admin), "kubectl aidb": get_command(kubectl)}
_SPAN = re.compile(r"`((?:aidb|aidb-admin|kubectl aidb) [^`\n]+)`")
_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def test_references_are_fresh() -> None:
    assert generate_reference.stale() == [], "run `make gen`"


def test_lists_of_runbooks_and_error_codes_are_whole() -> None:
    runbooks = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    for page in (ROOT / "docs" / "runbooks").glob("Aidb*.md"):
        assert f"]({page.name})" in runbooks, page.name
    codes = (ROOT / "docs" / "errors" / "README.md").read_text()
    for code in list(common_pb2.ErrorCode.keys())[1:]:
        assert f"]({code}.md)" in codes, code


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_running_text_exist(page: Path) -> None:
    wrong = [f"{span}: {said}" for span in _SPAN.findall(page.read_text()) for said in _wrong(span)]
    assert wrong == []


def _wrong(span: str) -> Iterator[str]:
    """What of a command line does not exist: its command, or an option of it."""
    name = next(one for one in ("kubectl aidb", "aidb-admin", "aidb") if span.startswith(f"{one} "))
    command = PROGRAMS[name]
    options = _options(command)
    words = span.removeprefix(name).split()
    if name == "kubectl aidb" and words[0] in ("-n", "--context", "--kubeconfig"):
        words = words[2:]
    if "..." in words:
        return
    for word in words:
        found = getattr(command, "commands", {})
        if not found:
            break
        if word in found:
            command = found[word]
            options |= _options(command)
        elif re.fullmatch(r"[a-z][a-z-]+", word) and not getattr(command, "invoke_without_command", False):
            yield f"there is no command {word!r}"
            return
    for option in _OPTION.findall(span.removeprefix(name)):
        if option not in options:
            yield f"there is no option {option}"


def _options(command: object) -> set[str]:
    declared = [*getattr(command, "params", [])]
    names = {name for one in declared for name in (*one.opts, *one.secondary_opts)}
    return names | {"-h", "--help"}


def test_what_does_not_exist_is_told() -> None:
    assert list(_wrong("aidb up --detach")) == []
    assert list(_wrong("aidb upp")) == ["there is no command 'upp'"]
    assert list(_wrong("aidb-admin tokens create ci --rule x")) == ["there is no option --rule"]
