"""What a record looks like: one line, with what is known about the program and the work in hand."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aidb_node.logs import Log

from aidb import logs
from aidb.logs import sparing
from aidb.logs.settings import of_environment

log = logging.getLogger("aidb.test")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], io.StringIO]]:
    """Sets a program's log up; what was set up before is there again afterwards."""
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)

    def begin(format: str) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.set_up("aidb-node", format, "info", member="shard-3-primary", role="primary", shard=3)
        return stream

    yield begin
    root.handlers[:], (sys.excepthook, threading.excepthook) = handlers, hooks
    root.setLevel(level)
    logging.captureWarnings(False)


def _records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_text_line_is_one_line(written: Callable[[str], io.StringIO]) -> None:
    stream = written("text")
    Log().warning("two\nlines", reason="a b", plain=1, empty="")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line.endswith('WARNING aidb-node/shard-3-primary two lines reason="a b" plain=1 empty=""\n')


def test_a_json_record_says_who_and_of_what(written: Callable[[str], io.StringIO]) -> None:
    stream = written("json")
    logs.tell(cluster="c1", epoch=7)
    with logs.about(request="00ab-5"):
        log.info("two\nlines %s", "here", extra=logs.fields(shard=4, reason=ValueError("why")))
    log.info("after")
    first, after = _records(stream)
    assert list(first)[:8] == ["time", "level", "program", "member", "cluster", "shard", "epoch", "message"]
    assert first["message"] == "two\nlines here"
    assert (first["cluster"], first["epoch"], first["role"]) == ("c1", 7, "primary")
    assert (first["shard"], first["request"], first["reason"]) == (4, "00ab-5", "why")
    assert after["shard"] == 3
    assert "request" not in after


def test_what_the_program_learns_replaces_what_it_knew(written: Callable[[str], io.StringIO]) -> None:
    stream = written("json")
    logs.tell(epoch=7)
    logs.tell(epoch=8)
    log.info("x")
    logs.tell(epoch=None)
    log.info("x")
    first, second = _records(stream)
    assert first["epoch"] == 8
    assert "epoch" not in second


def test_no_field_takes_the_place_of_time_level_program_or_message(
    written: Callable[[str], io.StringIO],
) -> None:
    stream = written("json")
    log.info("said", extra=logs.fields(message="other", level="none"))
    (record,) = _records(stream)
    assert (record["message"], record["level"]) == ("said", "INFO")
    assert (record["message_"], record["level_"]) == ("other", "none")


def test_defects_of_threads_and_errors_with_traces_are_records(written: Callable[[str], io.StringIO]) -> None:
    stream = written("json")

    def fail() -> None:
        raise RuntimeError("broken\nhere")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    with contextlib.suppress(RuntimeError):
        try:
            fail()
        except RuntimeError:
            log.exception("it failed")
            raise
    ended, failed = _records(stream)
    assert (ended["level"], ended["thread"]) == ("CRITICAL", "worker")
    assert "RuntimeError: broken" in ended["exception"]
    assert "RuntimeError: broken" in failed["exception"]


def test_the_level_holds(written: Callable[[str], io.StringIO]) -> None:
    stream = written("text")
    log.debug("not this")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("variable", "value"), [("AIDB_LOG_FORMAT", "xml"), ("AIDB_LOG_LEVEL", "loud")])
def test_a_wrong_environment_is_refused_as_on_the_command_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    parser = argparse.ArgumentParser()
    logs.add_arguments(parser.add_argument)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args([])
    assert caught.value.code == 2
    assert f"{value!r} is none of" in capsys.readouterr().err
    # Of a program without options it is no reason not to start.
    assert of_environment() == ("text", "info")


def test_options_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIDB_LOG_FORMAT", "json")
    parser = argparse.ArgumentParser()
    logs.add_arguments(parser.add_argument)
    assert parser.parse_args([]).log_format == "json"
    assert parser.parse_args(["--log-format", "text"]).log_format == "text"


def test_a_library_that_repeats_itself_is_cut_short(written: Callable[[str], io.StringIO]) -> None:
    stream = written("text")
    library = logging.getLogger("grpc._cython.cygrpc")
    for number in range(1_000):
        library.error("call %d failed", number)
        log.error("ours %d", number)
    library.error("another text")
    lines = stream.getvalue().splitlines()
    assert sum("call" in line for line in lines) == sparing.AT_MOST
    assert sum("ours" in line for line in lines) == 1_000
    assert "another text" in lines[-1]


def test_how_many_records_were_left_out_is_told() -> None:
    now = 0.0
    spare = sparing.Sparing(lambda: now)

    def said() -> str | None:
        record = logging.LogRecord("grpc", logging.ERROR, "", 0, "call %d failed", (7,), None)
        return record.getMessage() if spare.filter(record) else None

    assert [said() is None for _ in range(9)] == [False] * sparing.AT_MOST + [True] * 4
    now = sparing.SECONDS
    assert said() == "call 7 failed (and 4 more like it were left out)"
    assert said() == "call 7 failed"
    for number in range(10 * sparing.KINDS):
        spare.filter(logging.LogRecord("grpc", logging.ERROR, "", 0, f"kind {number}", (), None))
    assert len(spare._seen) == sparing.KINDS
