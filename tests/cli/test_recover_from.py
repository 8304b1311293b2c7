"""`aidb up --recover-from`: the machine is gone, the object store is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.cli.command import Command


def test_a_lost_machine_begins_again_with_what_the_object_store_has(nowhere: Command, tmp_path: Path) -> None:
    store = (tmp_path / "elsewhere").as_uri()
    shape = ("up", "--detach", "--port", 0, "--replicas", 0, "--timeout", "110s")
    nowhere(*shape, "--shards", 1, "--objects", store)
    nowhere("put", "greeting", "hello")
    nowhere("down")
    shutil.rmtree(nowhere.data)

    again = (*shape, "--recover-from", store, "--objects", store)
    nowhere(*again)
    assert nowhere("get", "greeting") == b"hello"
    nowhere("put", "greeting", "world")
    nowhere("down")
    # It is a cluster of its own now: it goes on with what it has, and does not begin anew.
    nowhere(*again)
    assert nowhere("get", "greeting") == b"world"


def test_what_contradicts_it_is_refused(nowhere: Command, tmp_path: Path) -> None:
    store = (tmp_path / "elsewhere").as_uri()
    said = nowhere.refused("up", "--recover-from", store, "--shards", 2, code=2)
    assert "leave --shards out" in said
    assert "--recover-from" in nowhere.refused("up", "--recover-uid", "a", code=2)
    said = nowhere.refused("up", "--recover-from", store, "--recover-time", "soon", code=2)
    assert "--recover-time soon is no time" in said
    assert "--recover-from" in nowhere.refused("up", "--recover-from", "ftp://host/x", code=2)


def test_a_cluster_that_is_there_is_not_changed(nowhere: Command, tmp_path: Path) -> None:
    store = (tmp_path / "elsewhere").as_uri()
    nowhere.data.mkdir()
    ports = {"coordinator": 1, "router-0": 2, "shard-0-primary": 3}
    there = {"format": 1, "cluster_uid": "u", "shards": 1, "replicas": 0, "sync": "group", "ephemeral": False}
    (nowhere.data / "local.json").write_text(json.dumps(there | {"ports": ports}))
    said = nowhere.refused("up", "--recover-from", store, code=2)
    assert "aidb-admin restore" in said
