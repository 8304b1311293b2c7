"""`aidb-admin` on the files of a store, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aidb_node import embedded

from aidb.admin.app import app
from aidb.cli.main import run

Capture = pytest.CaptureFixture[str]


def admin(capture: Capture, *arguments: object) -> tuple[int, str]:
    code = run([str(argument) for argument in arguments], app, "aidb-admin")
    return code, capture.readouterr().out


def lines(capture: Capture, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    code, text = admin(capture, *arguments, "-o", "json")
    return code, [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A table, and records that are only in the log."""
    path = tmp_path / "store"
    with embedded.open(path) as opened:
        for number in range(500):
            opened.put(b"key%03d" % number, b"value " * 20)
        opened.delete(b"key007")
        opened.flush()
        opened.put(b"\xff", b"last")
    return path


def only(path: Path, pattern: str) -> Path:
    (found,) = path.glob(pattern)
    return found


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x20
    path.write_bytes(content)


def test_each_kind_of_file_is_printed(store: Path, capsys: Capture) -> None:
    code, items = lines(capsys, "dump-sst", only(store, "sst/*.sst"))
    assert code == 0
    entries = [item for item in items if item["type"] == "entry"]
    assert entries[1]["key"] == "key001" and entries[1]["value"] == "value " * 20
    assert items[-1]["properties"]["entries"] == len(entries) == items[-1]["properties"]["tombstones"] + 499

    code, items = lines(capsys, "dump-log", sorted(store.glob("log/*.log"))[0])
    assert code == 0
    assert [item["lsn"] for item in items[:3]] == [1, 2, 3]
    assert items[0]["ops"][0]["key"] == "key000" and items[0]["ops"][0]["kind"] == "put"
    assert items[-1]["rest"] == "zeros" and items[-2]["ops"][0]["key_base64"] == "/w=="

    code, items = lines(capsys, "dump-manifest", store / "MANIFEST")
    assert code == 0
    assert sum(len(item.get("added", [])) for item in items) == 1
    files = {"dump-sst": "sst/*.sst", "dump-log": "log/*1.log", "dump-manifest": "MANIFEST"}
    for command, file in files.items():
        code, text = admin(capsys, command, only(store, file))
        assert code == 0 and text


def test_damage_is_named_and_the_rest_is_printed(store: Path, capsys: Capture) -> None:
    table, log = only(store, "sst/*.sst"), sorted(store.glob("log/*.log"))[0]
    flip(table, 5000)
    code, items = lines(capsys, "dump-sst", table)
    assert code == 1
    (damage,) = items[-1]["damage"]
    block = next(block for block in items[-1]["blocks"] if block["damaged"])
    assert damage["offset"] == block["offset"] <= 5000 < block["offset"] + block["length"]
    assert 0 < len(items) - 1 < 500

    flip(log, 3000)
    code, text = admin(capsys, "dump-log", log)
    assert code == 1 and f"damage in {log}" in text and "the next one is at byte" in text

    (store / "MANIFEST").write_bytes((store / "MANIFEST").read_bytes()[:-3])
    code, text = admin(capsys, "dump-manifest", store / "MANIFEST")
    assert code == 1 and "no whole record from here on" in text


def test_a_store_is_verified_and_repaired(store: Path, capsys: Capture) -> None:
    assert admin(capsys, "verify-store", store)[0] == 0
    table = only(store, "sst/*.sst")
    flip(table, 5000)
    assert admin(capsys, "verify-store", store)[0] == 1
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    code, text = admin(capsys, "repair-store", store, "--dry-run")
    assert code == 1 and "would be saved" in text and "lost: keys after" in text
    assert admin(capsys, "repair-store", store)[0] == 2, "nobody said --yes"
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before

    code, (report,) = lines(capsys, "repair-store", store, "--yes")
    assert code == 0 and report["applied"]
    assert only(store, "lost/*").read_bytes() == before[table]
    assert admin(capsys, "verify-store", store)[0] == 0
    with embedded.open(store) as opened:
        # The log still holds every record: nothing is lost after all.
        assert len(list(opened.scan())) == 500
        assert admin(capsys, "verify-store", store)[0] != 0, "in use"
