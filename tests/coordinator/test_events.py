from __future__ import annotations

from pathlib import Path

from aidb_coordinator.events import EventLog, Severity


def log(path: Path, capacity: int = 10) -> EventLog:
    return EventLog(path / "events.jsonl", lambda: 1234, capacity)


def fill(events: EventLog, *reasons: str) -> None:
    for reason in reasons:
        events.add(Severity.WARNING, reason, "shard-0-primary", "because")
    events.write(events.unwritten())


def test_events_and_their_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    first = log(tmp_path)
    fill(first, "PrimaryFailed", "PrimaryRecovered")
    again = log(tmp_path)
    assert again.after(0, 100) == first.after(0, 100)
    fill(again, "PrimaryFailed")
    assert [(e.seq, e.reason) for e in log(tmp_path).after(1, 100)] == [
        (2, "PrimaryRecovered"),
        (3, "PrimaryFailed"),
    ]
    assert [e.seq for e in again.after(0, 2)] == [1, 2]


def test_memory_and_file_are_bounded(tmp_path: Path) -> None:
    events = log(tmp_path)
    for number in range(95):
        fill(events, f"Reason{number}")
    assert [e.seq for e in events.after(0, 100)] == list(range(86, 96))
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) <= 20
    assert log(tmp_path).after(0, 100) == events.after(0, 100)


def test_a_line_that_a_crash_cut_is_skipped_and_harms_no_other(tmp_path: Path) -> None:
    fill(log(tmp_path), "One", "Two", "Three")
    path = tmp_path / "events.jsonl"
    whole = path.read_bytes()
    last = whole.rindex(b'{"seq":3')
    for length in range(last + 1, len(whole)):
        path.write_bytes(whole[:length])
        events = log(tmp_path)
        fill(events, "Four")
        reasons = [e.reason for e in log(tmp_path).after(0, 100)]
        assert [r for r in reasons if r != "Three"] == ["One", "Two", "Four"], f"cut at {length}"


def test_failures_without_recovery_are_remembered(tmp_path: Path) -> None:
    events = log(tmp_path)
    events.add(Severity.ALERT, "PrimaryFailed", "a", "")
    events.add(Severity.ALERT, "ReplicaFailed", "b", "")
    events.add(Severity.NORMAL, "PrimaryRecovered", "a", "")
    events.write(events.unwritten())
    assert log(tmp_path).open_failures() == {"b"}
