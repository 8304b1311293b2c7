"""`aidb-admin` finds the store, the cluster and the shards it is asked about, or says what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aidb.admin.app import app
from aidb.cli.main import run
from aidb.durability.catalog import Catalog
from aidb.durability.fencing import claim_epoch
from aidb.durability.names import Names
from aidb.durability.stamp import ensure_stamp
from aidb.objects.file import FileStore

Capture = pytest.CaptureFixture[str]


def admin(capture: Capture, *arguments: object) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments], app, "aidb-admin")
    said = capture.readouterr()
    return code, said.out, said.err


def stamped(directory: Path, *uids: str) -> str:
    store = FileStore(directory)
    for uid in uids:
        ensure_stamp(store, uid)
        claim_epoch(Catalog(store, Names(uid, 0)), 1, "disk", "primary")
    return store.url


def listed(capture: Capture, *arguments: object) -> Any:
    code, out, err = admin(capture, "backups", "-o", "json", *arguments)
    assert code == 0, err
    return json.loads(out)


def test_the_only_cluster_of_a_store_need_not_be_named(capsys: Capture, tmp_path: Path) -> None:
    url = stamped(tmp_path / "objects", "one")
    (shard,) = listed(capsys, "--objects", url)
    assert (shard["shard"], shard["epoch"], shard["snapshots"], shard["archived_lsn"]) == (0, 1, [], 0)


def test_of_several_clusters_one_has_to_be_named(capsys: Capture, tmp_path: Path) -> None:
    url = stamped(tmp_path / "objects", "one", "two")
    code, _, err = admin(capsys, "backups", "--objects", url)
    assert code == 2
    assert "one, two" in err and "--cluster" in err
    assert listed(capsys, "--objects", url, "--cluster", "two")


def test_a_store_of_another_cluster_is_said_to_be(capsys: Capture, tmp_path: Path) -> None:
    url = stamped(tmp_path / "objects", "one")
    for command in (
        ["backups"],
        ["verify"],
        ["retention", "--dry-run"],
        ["recover", "--shard", "0", "--into", "x"],
    ):
        code, _, err = admin(capsys, *command, "--objects", url, "--cluster", "other")
        assert code == 1
        assert "nothing of cluster other, but of one: check the URL" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backups", "--objects", "ftp://x"], "is no object store"),
        (["backups", "--objects", "s3://a:b@c"], "credentials do not belong into a URL"),
        (["recover", "--shard", "0", "--objects", "file:///x", "--to-time", "soon"], "is no time"),
        (["recover", "--shard", "0", "--to-lsn", "1", "--to-time", "2026-01-01"], "one of --to-lsn"),
        (["retention", "--objects", "file:///x"], "say --yes to delete, or --dry-run"),
    ],
)
def test_what_cannot_work_is_refused(capsys: Capture, arguments: list[str], words: str) -> None:
    code, _, err = admin(capsys, *arguments)
    assert code == 2
    assert words in err


def test_without_a_cluster_in_the_directory(capsys: Capture, tmp_path: Path) -> None:
    code, _, err = admin(capsys, "backups", "--data", tmp_path)
    assert code == 2
    assert "--objects" in err


def test_without_a_snapshot_there_is_nothing_to_recover_from(capsys: Capture, tmp_path: Path) -> None:
    """Nor where nobody ever claimed the shard, whose history is not whole from its begin."""
    url = stamped(tmp_path / "objects", "one")
    code, _, err = admin(capsys, "recover", "--shard", 5, "--into", tmp_path / "new", "--objects", url)
    assert code == 3
    assert "one/5/e*/manifest/*" in err
