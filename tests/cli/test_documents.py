"""`-o json` and `-o yaml`: every command that has one has the other, and both say the same."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from aidb_node import embedded
from hypothesis import given
from hypothesis import strategies as st

from aidb.cli import documents
from aidb.cli.main import run
from aidb.cli.parameters import encoding
from tests.cli.apps import APPS, commands
from tests.cli.command import Command

Capture = pytest.CaptureFixture[str]

# What readers of YAML take for something else than text, and text that ends lines.
TRICKY = ["yes", "~", "1e3", "0x1", "12:30", "2026-01-31T12:00:00Z", "null", "", " a", "a: b", "- x", "#c"]
TEXTS = st.text() | st.sampled_from([*TRICKY, "\n", "a\nb\n", "<<", "!t", "&a", "*a", "\x85", "\ufeff", "😀"])
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXTS
VALUES = st.recursive(
    LEAVES | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)

# Commands that change the cluster's shape or take minutes; that their option is the same is tested above.
NOT_RUN = {
    "aidb bench cost",
    "aidb bench engine",
    "aidb-admin add-replica",
    "aidb-admin hand-over",
    "aidb-admin isolate",
    "aidb-admin move-slots",
    "aidb-admin operations cancel",
    "aidb-admin operations pause",
    "aidb-admin operations resume",
    "aidb-admin recover",
    "aidb-admin remove-replica",
    "aidb-admin report",  # in tests/report: its file may not exist
    "aidb-admin remove-shard",
    "aidb-admin repair-store",
    "aidb-admin restore",
    "aidb-admin salvage",
    "aidb-admin take-over",
}


@given(VALUES)
def test_yaml_says_what_json_says(value: Any) -> None:
    assert json.dumps(yaml.safe_load(documents.as_yaml(value))) == json.dumps(value)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_that_is_printed_while_it_comes(count: int, capsys: Capture) -> None:
    wanted = [{"key": "a\nb", "number": number} for number in range(count)]
    assert json.loads(written(False, lambda: documents.listed(iter(wanted)), capsys)) == wanted
    assert yaml.safe_load(written(True, lambda: documents.listed(iter(wanted)), capsys)) == wanted


def test_several_documents_follow_each_other(capsys: Capture) -> None:
    def two() -> None:
        documents.document({"a": 1})
        documents.document("text alone")

    assert list(yaml.safe_load_all(written(True, two, capsys))) == [{"a": 1}, "text alone"]


def written(as_yaml: bool, what: Callable[[], None], capsys: Capture) -> str:
    documents.write_as_yaml(as_yaml)
    try:
        what()
    finally:
        documents.write_as_yaml(False)
    return capsys.readouterr().out


def test_every_command_that_prints_documents_has_both_encodings() -> None:
    assert len(printing()) > 40
    for name, option in printing().items():
        assert inspect.unwrap(option.callback) is encoding, (
            f"{name}: take `aidb.cli.parameters.Format` for -o"
        )
    assert set(NOT_RUN) < set(printing())


def printing() -> dict[str, Any]:
    """``-o`` of the commands that have it."""
    return {
        name: parameter
        for name, command in commands()
        for parameter in command.params
        if "--output" in parameter.opts and name != "aidb profile set"
    }


def test_every_command_says_the_same_in_both(
    aidb: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same members in the same order; numbers and times differ from one call to the next."""
    aidb("put", "walk", "x")
    monkeypatch.setenv("AIDB_CONFIG", str(aidb.directory / "config.toml"))
    aidb("profile", "set", "walk", "--keyspace", 0)
    with embedded.open(tmp_path / "store") as opened:
        opened.put(b"\xff", b"v")
        opened.flush()
    words = run_of(tmp_path, aidb)
    wanted = {name for name in printing() if not name.startswith("kubectl")} - NOT_RUN
    assert set(words) == wanted, "a new command: say how it is run here, or in NOT_RUN why not"
    # Made once: that takes longer than most commands.
    programs = {name: typer.main.get_command(app) for name, app in APPS.items()}
    for name, arguments in words.items():
        shapes = [shape_of(programs, name, arguments, how, capsys) for how in ("json", "yaml")]
        assert shapes[0] == shapes[1], name


def run_of(scratch: Path, aidb: Command) -> dict[str, list[object]]:
    """What is given to each command beside its name."""
    at: list[object] = ["--address", aidb.document("status")["coordinator"]["address"]]
    data: list[object] = ["--data", aidb.data]
    source, store = scratch / "in.jsonl", scratch / "store"
    source.write_text('{"key": "walk-1", "value": "v"}\n')
    few: list[object] = ["--keys", 10, "--threads", 1, *at]
    (tokens := scratch / "tokens").write_text('{"format": 1, "tokens": []}\n')
    return {
        "aidb version": [],
        "aidb profile list": [],
        "aidb profile show": ["walk"],
        "aidb status": at,
        "aidb events": [*at, "--limit", 1],
        "aidb get": ["walk", *at],
        "aidb put": ["walk", "y", *at],
        "aidb delete": ["nothing", *at],
        "aidb scan": ["--prefix", "walk", *at],
        "aidb import": [source, *at],
        "aidb export": [scratch / "out.jsonl", *at],
        "aidb bench put": few,
        "aidb bench get": few,
        "aidb-admin list-shards": at,
        "aidb-admin status": at,
        "aidb-admin moves": at,
        "aidb-admin topology show": at,
        "aidb-admin topology history": [*at, "--limit", 1],
        "aidb-admin operations": at,
        "aidb-admin autoscale": at,
        "aidb-admin add-shard": [*at, "--dry-run"],
        "aidb-admin rebalance": [*at, "--dry-run"],
        "aidb-admin backup": at,
        "aidb-admin backups": data,
        "aidb-admin verify": data,
        "aidb-admin retention": [*data, "--dry-run"],
        "aidb-admin drill": [*at, *data, "--scratch", scratch],
        "aidb-admin audit": [*data, "--limit", 1],
        "aidb-admin dump-sst": [next(store.glob("sst/*.sst"))],
        "aidb-admin dump-log": [next(store.glob("log/*.log"))],
        "aidb-admin dump-manifest": [next(store.glob("MANIFEST*"))],
        "aidb-admin verify-store": [store],
        "aidb-admin tokens list": ["--file", tokens],
    }


def shape_of(
    programs: dict[str, Any], name: str, arguments: list[object], how: str, capsys: Capture
) -> list[Any]:
    """Of what a command prints."""
    program, *words = name.split()
    capsys.readouterr()
    code = run([*words, *map(str, arguments), "-o", how], programs[program], program)
    said = capsys.readouterr()
    assert code == 0, (name, said)
    return [shape(found) for found in (yaml.safe_load_all if how == "yaml" else read_json)(said.out)]


def read_json(text: str) -> Iterator[Any]:
    """Documents one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        found, at = decoder.raw_decode(text, at)
        yield found
        at += 1


def shape(value: Any) -> Any:
    """Numbers are alike, and so are the members of a list."""
    if isinstance(value, dict):
        return [(name, shape(member)) for name, member in value.items()]
    if isinstance(value, list):
        return [shape(member) for member in value[:1]]
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )
