"""Turns: one at a time for each cluster, as few as wakes allow, again after failures."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from aidb_operator.kubernetes.store import ClusterKey
from aidb_operator.worker import FIRST_BACKOFF, LONGEST_BACKOFF, Worker, backoff

from tests.operator.running import until

A, B = ClusterKey("test", "a"), ClusterKey("test", "b")


def test_wakes_during_a_turn_are_one_more_turn() -> None:
    began, go_on = threading.Event(), threading.Event()
    turns: Counter[ClusterKey] = Counter()

    def turn(key: ClusterKey) -> float | None:
        turns[key] += 1
        began.set()
        assert go_on.wait(60)
        return 3600.0

    worker = Worker(turn)
    worker.start()
    try:
        worker.wake(A, 0.0)
        assert began.wait(60)
        for _ in range(100):
            worker.wake(A, 0.0)
        go_on.set()
        until(lambda: turns[A] == 2, "the second turn")
    finally:
        worker.close()
    assert turns == {A: 2}


def test_a_cluster_has_one_turn_at_a_time_and_others_need_not_wait() -> None:
    running: Counter[ClusterKey] = Counter()
    overlaps, together = [], threading.Event()
    lock = threading.Lock()
    ends = threading.Event()

    def turn(key: ClusterKey) -> float | None:
        with lock:
            running[key] += 1
            if running[key] > 1:
                overlaps.append(key)
            if running[A] and running[B]:
                together.set()
        ends.wait(0.01 if together.is_set() else 1.0)
        with lock:
            running[key] -= 1
        return None

    worker = Worker(turn, resync=0.01)
    worker.start()
    try:
        for _ in range(20):
            worker.wake(A, 0.0)
            worker.wake(B, 0.0)
        assert together.wait(60)
    finally:
        ends.set()
        worker.close()
    assert not overlaps


def test_a_turn_that_fails_is_repeated_and_one_that_asks_comes_again() -> None:
    turns: list[float] = []

    def turn(key: ClusterKey) -> float | None:
        turns.append(time.monotonic())
        if len(turns) == 1:
            raise RuntimeError("the first one fails")
        return 0.01

    worker = Worker(turn, resync=3600.0)
    worker.start()
    try:
        worker.wake(A, 0.0)
        until(lambda: len(turns) >= 3, "three turns")
        assert turns[1] - turns[0] >= FIRST_BACKOFF / 2
    finally:
        worker.close()


def test_a_cluster_that_is_forgotten_has_no_more_turns() -> None:
    turned = threading.Event()

    def turn(key: ClusterKey) -> float | None:
        worker.forget(key)
        turned.set()
        return 0.0

    worker = Worker(turn, resync=0.0)
    worker.start()
    try:
        worker.wake(A, 0.0)
        assert turned.wait(60)
        until(lambda: not list(worker.known()), "forgotten")
    finally:
        worker.close()


@pytest.mark.parametrize("failures", [1, 2, 5, 100, 10_000])
def test_backoff_grows_and_is_bounded(failures: int) -> None:
    least, most = backoff(failures, 0.0), backoff(failures, 1.0)
    assert FIRST_BACKOFF / 2 <= least <= most <= LONGEST_BACKOFF
    assert backoff(failures + 1, 0.0) >= least


def test_turns_that_wait_for_a_thread_do_not_begin_after_the_end() -> None:
    began, go_on = threading.Event(), threading.Event()
    turns: Counter[ClusterKey] = Counter()

    def turn(key: ClusterKey) -> float | None:
        turns[key] += 1
        began.set()
        assert go_on.wait(60)
        return None

    worker = Worker(turn, threads=1)
    worker.start()
    try:
        for number in range(10):
            worker.wake(ClusterKey("test", str(number)), 0.0)
        assert began.wait(60)
        closing = threading.Thread(target=worker.close)
        closing.start()
        until(lambda: worker.closed, "that it is told to end")
    finally:
        go_on.set()
        closing.join(60)
    assert sum(turns.values()) == 1
