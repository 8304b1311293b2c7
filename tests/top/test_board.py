"""`aidb top`: what is worked out from two looks, and what is drawn."""

from __future__ import annotations

import pytest
from rich.console import Console

from aidb.cli.top.board import SORTS, board
from aidb.cli.top.keys import _split
from aidb.cli.top.rates import between, quantile
from aidb.cli.top.screen import View, screen
from aidb.cli.top.seen import Seen
from aidb.v1 import cluster_pb2 as cluster
from tests.top.values import member, seen, shard, stats


def drawn(shown: Seen, before: Seen | None = None, view: View | None = None, width: int = 200) -> str:
    console = Console(width=width, record=True, quiet=True, highlight=False)
    with console.capture() as captured:
        console.quiet = False
        console.print(screen(board(before, shown), view or View()))
    return captured.get()


def test_rates_are_those_between_two_looks() -> None:
    rates = between(
        stats("replica", gets=100, puts=10, hits=5, misses=5),
        stats("replica", gets=300, puts=20, busy=6, hits=95, misses=15, us=512),
        seconds=2.0,
    )
    assert (rates.requests, rates.reads, rates.writes, rates.failures) == (108.0, 100.0, 5.0, 3.0)
    assert rates.hit_ratio == pytest.approx(0.9)
    assert rates.get_seconds == pytest.approx(1024e-6)


def test_a_program_that_began_again_counts_from_zero() -> None:
    rates = between(stats("primary", gets=1000, us=64), stats("primary", gets=50, us=64), seconds=1.0)
    assert rates.reads == 50.0
    assert rates.get_seconds == pytest.approx(128e-6)


def test_a_quantile_is_the_upper_end_of_its_bucket() -> None:
    assert quantile(0.99, [0] * 25) is None
    assert quantile(0.99, []) is None
    assert quantile(0.5, [0, 0, 50, 50]) == pytest.approx(4e-6)
    assert quantile(0.99, [0, 0, 50, 50]) == pytest.approx(8e-6)


def test_what_a_cache_passes_on_is_one_read_of_a_client() -> None:
    before = seen(0.0, shard(0), p0=stats("primary"), r0=stats("replica"))
    now = seen(
        1.0, shard(0), p0=stats("primary", gets=40, puts=7), r0=stats("replica", gets=100, hits=60, misses=40)
    )
    clients = board(before, now).clients
    assert (clients.reads, clients.writes, clients.hit_ratio) == (100.0, 7.0, 0.6)


def test_without_members_there_is_what_the_coordinator_knows() -> None:
    one = shard(0)
    one.load.reads, one.load.writes = 11, 3
    shown = board(seen(0.0, one), seen(1.0, one))
    assert (shown.clients.reads, shown.clients.writes) == (11.0, 3.0)
    assert "11" in drawn(seen(1.0, one))


def test_shards_are_sorted_by_what_is_asked_for() -> None:
    stopped = shard(2, cluster.SHARD_STOPPED)
    larger = shard(1)
    larger.bytes, larger.load.reads = 10, 5
    now = seen(1.0, shard(0), larger, stopped)

    def first(sort: str) -> int:
        return board(None, now, next(one for one in SORTS if one == sort)).shards[0].status.id

    assert {sort: first(sort) for sort in SORTS} == {
        "shard": 0,
        "state": 2,
        "reads": 1,
        "writes": 0,
        "latency": 0,
        "bytes": 1,
    }


def test_what_is_wrong_is_named() -> None:
    broken = shard(0, cluster.SHARD_DEGRADED)
    broken.replicas[0].state, broken.replicas[0].reason = cluster.MEMBER_FAILED, "silent for 5 s"
    text = drawn(seen(1.0, broken, shard(1)))
    assert "1 of 2 shards running" in text and "3 of 4 members healthy" in text
    assert "not healthy" in text and "r0" in text and "silent for 5 s" in text and "0/1" in text
    stale = drawn(seen(1.0, shard(0)), view=View(problem="the coordinator does not answer", age=7.0))
    assert "the coordinator does not answer (shown: 7 s ago)" in stale


def test_what_is_under_way_has_its_progress() -> None:
    backup = stats("primary")
    backup.durability.snapshot_running = True
    backup.durability.snapshot_bytes, backup.durability.snapshot_bytes_done = 200, 50
    now = seen(1.0, shard(0), p0=backup)
    operation = cluster.Operation(kind="add_shard", state="running", phase="moving", shards=[3])
    operation.progress.slots, operation.progress.slots_done = 400, 100
    move = cluster.MoveStatus(move=cluster.Move(step="prepared", source=0, target=3))
    move.move.slots.add(first=0, last=9)
    move.progress.step, move.progress.bytes, move.progress.bytes_total = "copying", 10, 40
    over = cluster.MoveStatus(move=cluster.Move(step="committed"))
    shown = board(None, Seen(1.0, now.status, (operation,), (move, over), now.stats))
    assert [(one.what, one.step, one.part) for one in shown.under_way] == [
        ("add shard 3", "moving", 0.25),
        ("move 10 slots, 0 to 3", "copying", 0.25),
        ("backup of shard 0", "uploading", 0.25),
    ]
    text = drawn(Seen(1.0, now.status, (operation,), (move, over), now.stats))
    assert "100 of 400 slots" in text and "25%" in text and "━" in text


def test_a_shard_is_looked_into() -> None:
    text = drawn(seen(1.0, shard(0), shard(1)), view=View(opened=1))
    assert "shard 1" in text and "p1" in text and "r1" in text and "p0" not in text


def test_a_narrow_screen_is_drawn_too() -> None:
    text = drawn(seen(1.0, shard(0), shard(1)), view=View(width=80), width=80)
    assert "shards running" in text and "REPLICAS" in text and "1/1" in text
    assert "KEYS" not in text and "…" not in text


def test_hot_slots_and_routers_are_shown() -> None:
    now = seen(1.0, shard(0))
    now.status.routers.append(member("router-0", cluster.ROLE_ROUTER))
    now.status.hot_slots.add(slot=4711, shard=0, reads=9, part_ppm=500_000)
    text = drawn(now)
    assert "4711" in text and "50%" in text and "router-0" in text


def test_keys_are_told_apart() -> None:
    assert list(_split("\x1b[A\x1b[Bq\rjk\x1b")) == ["up", "down", "q", "enter", "down", "up", "escape"]
