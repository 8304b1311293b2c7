"""A move between two primaries, under writers (rules M)."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aidb_coordinator.topology import MOVES_LEVEL

import aidb
from aidb import token
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


def test_a_session_is_told_by_the_target_what_the_source_has_lost(tmp_path: Path) -> None:
    """C5, s4: what it saw of the source before a restart is beyond what the source had then."""
    with Cluster(tmp_path) as cluster:
        slot, other = cluster.slots_of(0)[:2]
        key, elsewhere = keys_in([slot], 1, "moves") + keys_in([other], 1, "stays")
        with aidb.connect(cluster.address) as client:
            client.put(key, b"v")
            client.put(elsewhere, b"v")
            positions, version = token.decode(client.session_token)
        epoch, lsn = positions[0]
        cluster.nodes[0].kill()
        cluster.restart(0)
        cluster.move([slot], 0, 1, "m1")
        cluster.wait_committed("m1")
        unlucky = token.encode({0: (epoch, lsn + 1000)}, version)
        with aidb.connect(cluster.address, token=unlucky) as client:
            with pytest.raises(aidb.SessionBroken) as broken:
                client.get(key)
            assert (broken.value.shard, broken.value.token_lsn) == (0, lsn + 1000)
            assert client.get(key) == b"v", "once is enough"
        with aidb.connect(cluster.address, token=token.encode(positions, version)) as client:
            assert client.get(key) == b"v"


def test_figures_of_a_move(tmp_path: Path) -> None:
    with Cluster(tmp_path, "--metrics", "127.0.0.1:0") as cluster, aidb.connect(cluster.address) as client:
        slots = cluster.slots_of(0)[:3]
        keys = keys_in(slots, 50)
        client.put_many(dict.fromkeys(keys, b"v")).raise_for_errors()
        cluster.move(slots, 0, 1, "m1")
        cluster.wait_committed("m1")
        until(lambda: metric(cluster, 1, "aidb_move_attempts_total") == 1)
        assert metric(cluster, 1, "aidb_move_imported_entries_total") >= len(keys)
        assert metric(cluster, 1, "aidb_move_fences_total") == 1
        assert metric(cluster, 1, "aidb_hidden_keys") == 0
        assert metric(cluster, 1, "aidb_keys") == len(keys)
        until(lambda: metric(cluster, 0, "aidb_move_deleted_ranges_total") > 0)
        assert cluster.coordinator.topology().feature_level == MOVES_LEVEL


def metric(cluster: Cluster, shard: int, name: str) -> float:
    address = cluster.coordinator.topology().shards[shard].primary.metrics_address
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    (line,) = (line for line in lines if line.startswith(name + "{"))
    return float(line.rpartition(" ")[2])
