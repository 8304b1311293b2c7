"""What imports came to, as metrics."""

from __future__ import annotations

from aidb_node.moves.figures import Figures, MoveCollector

from aidb.v1 import cluster_pb2 as pb


def test_sums_count_what_is_under_way_and_what_is_over() -> None:
    now = [10.0]
    figures = Figures(clock=lambda: now[0])
    first = pb.MoveProgress(step="copying", bytes=100, entries=3)
    second = pb.MoveProgress()
    figures.began("m/1", lambda: first)
    figures.began("n/1", lambda: second)
    assert figures.sums()[1] == {"copying": 1, "waiting": 1}
    now[0] = 12.0
    figures.fenced("m/1")
    now[0] = 12.5
    figures.fenced("m/1")
    figures.ended("m/1", failed=False)
    figures.ended("n/1", failed=True)
    second = pb.MoveProgress(step="ready", bytes=7, entries=1)
    figures.began("n/2", lambda: second)
    found = {
        sample.name: sample.value
        for metric in MoveCollector(figures, 4).collect()
        for sample in metric.samples
        if sample.labels["shard"] == "4"
    }
    assert found == {
        "aidb_move_imports": 1,
        "aidb_move_attempts_total": 2,
        "aidb_move_attempts_failed_total": 1,
        "aidb_move_seconds_total": 5.0,
        "aidb_move_imported_bytes_total": 107,
        "aidb_move_imported_entries_total": 4,
        "aidb_move_fences_total": 1,
        "aidb_move_fenced_seconds_total": 0.5,
        "aidb_move_deleted_ranges_total": 0,
    }
