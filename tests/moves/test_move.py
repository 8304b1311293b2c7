"""A move between two primaries, under writers (rules M)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import aidb
from aidb.admin.app import app
from aidb.admin.slots import spans_of, text_of
from aidb.cli.main import run
from tests.coordinator.process import until
from tests.moves.cluster import Cluster, keys_in
from tests.moves.writers import Writers


@pytest.mark.parametrize("objects", [True, False], ids=["archived", "one copy"])
def test_slots_move_under_writers(tmp_path: Path, objects: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Cluster(tmp_path, objects=objects) as cluster, aidb.connect(cluster.address) as client:
        *slots, stays = cluster.slots_of(0)[:6]
        still = keys_in(slots, 200, "still")
        for key in still:
            client.put(key, b"v" * 100)
        client.delete(still[0])
        with Writers(cluster.address, keys_in([*slots, stays], 5, "hot")) as writers:
            before = writers.count
            moved = cluster.move(slots, 0, 1, "m1")
            assert moved.source == 0
            assert cluster.wait_committed("m1").attempt == 1
            after = writers.count
            until(lambda: writers.count > after + 500)
            assert after > before
        assert writers.errors == []
        assert list(writers.problems(client)) == []
        owners = cluster.owners()
        assert {owners[slot] for slot in slots} == {1}
        assert owners[stays] == 0
        assert client.get(still[0]) is None
        assert all(client.get(key) == b"v" * 100 for key in still[1:])
        assert len(list(client.scan())) == len(still) - 1 + sum(
            client.get(key) is not None for key in writers.written
        )
        moved_back_by_an_administrator(cluster, slots, capsys)
        assert all(client.get(key) == b"v" * 100 for key in still[1:])


def moved_back_by_an_administrator(
    cluster: Cluster, slots: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    def admin(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run([*arguments, "--address", cluster.address, "-o", "json"], app, "aidb-admin") == code
        said = capsys.readouterr()
        return said.err if code else json.loads(said.out)

    text = text_of(spans_of(slots))
    back = ("move-slots", "--slots", text, "--to", "0")
    assert admin(*back, "--dry-run") == [{"from": 1, "to": 0, "slots": text}]
    (done,) = admin(*back)
    assert (done["slots"], done["step"], done["attempt"]) == (text, "committed", 1)
    assert [(one["id"], one["step"]) for one in admin("moves")] == [
        ("m1", "committed"),
        (done["id"], "committed"),
    ]
    assert "has all of these slots already" in admin(*back, code=2)
    assert "there is no shard 9" in admin("move-slots", "--slots", "1", "--to", "9", code=3)
    assert "cannot be cancelled" in admin("moves", "--cancel", "m1", code=1)
