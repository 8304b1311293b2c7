"""`aidb import`, `export` and `bench` against a cluster."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.command import Command


def lines(pairs: dict[str, str]) -> bytes:
    return b"".join(json.dumps({"key": k, "value": v}).encode() + b"\n" for k, v in pairs.items())


def exported(aidb: Command, prefix: str) -> dict[str, str]:
    rows = aidb("export", "-", "--prefix", prefix).splitlines()
    return {row["key"]: row["value"] for row in map(json.loads, rows)}


def test_what_is_imported_is_exported(aidb: Command, tmp_path: Path) -> None:
    pairs = {f"round-{number}": "v" * (number % 50) for number in range(5000)}
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(lines(pairs))
    told = aidb.document("import", source, "--batch", 300)
    assert (told["records"], told["rejected"], told["resumed_after_line"]) == (5000, 0, 0)
    assert not list(tmp_path.glob("*.aidb-import")), "the checkpoint goes when all is loaded"
    assert aidb.document("export", target, "--prefix", "round-")["records"] == 5000
    assert {row["key"]: row["value"] for row in map(json.loads, target.read_text().splitlines())} == pairs


def test_of_one_key_the_last_record_stays(aidb: Command) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rows = [(f"twice-{rng.randrange(40)}", str(number)) for number in range(2000)]
    content = b"".join(lines({key: value}) for key, value in rows)
    aidb("import", "-", "--batch", 17, content=content)
    assert exported(aidb, "twice-") == dict(rows)


def test_rejected_records_are_told_and_the_rest_is_loaded(aidb: Command, tmp_path: Path) -> None:
    big = json.dumps({"key": "reject-" + "k" * 9000, "value": "v"}).encode()
    content = b"nonsense\n" + lines({"reject-1": "v"}) + big + b"\n" + lines({"reject-2": "v"})
    rejects = tmp_path / "rejects"
    said = aidb.refused("import", "-", "--rejects", rejects, code=6, content=content)
    assert "line 1: not JSON" in said and "2 records were rejected" in said
    told = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [row["line"] for row in told] == [1, 3]
    assert exported(aidb, "reject-") == {"reject-1": "v", "reject-2": "v"}


def test_strict_stops_at_the_first(aidb: Command) -> None:
    content = lines({"strict-1": "v"}) + b"nonsense\n" + lines({"strict-2": "v"})
    said = aidb.refused("import", "-", "--strict", code=6, content=content)
    assert "line 2: not JSON" in said
    assert exported(aidb, "strict-") == {"strict-1": "v"}


def test_an_interrupted_import_goes_on_where_it_was(aidb: Command, tmp_path: Path) -> None:
    count = 60_000
    source = tmp_path / "long.jsonl"
    source.write_bytes(lines({f"resume-{number}": str(number) for number in range(count)}))
    checkpoint = tmp_path / "long.jsonl.aidb-import"
    address = aidb.document("status")["coordinator"]["address"]
    command = [sys.executable, "-m", "aidb.cli", "import", str(source), "--batch", "50", "--address", address]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = json.loads(checkpoint.read_text())["position"][1]
    assert 0 < reached < count, "the kill came too late to show anything"
    told = aidb.document("import", source, "--resume", "--address", address)
    assert told["resumed_after_line"] == reached and told["records"] == count
    assert len(exported(aidb, "resume-")) == count
    assert not checkpoint.exists()


def test_a_checkpoint_of_something_else_is_refused(aidb: Command, tmp_path: Path) -> None:
    source = tmp_path / "some.jsonl"
    source.write_bytes(lines({"other-1": "v"}))
    checkpoint = tmp_path / "some.jsonl.aidb-import"
    checkpoint.write_text(json.dumps({"of": {"size": 1}, "position": [9, 9], "counts": {}}))
    assert "of another import" in aidb.refused("import", source, "--resume", code=2)
    checkpoint.write_text("{")
    assert "cannot read" in aidb.refused("import", source, "--resume", code=2)
    assert "cannot be read twice" in aidb.refused("import", "-", "--resume", code=2)


def test_files_that_are_not_there(aidb: Command, tmp_path: Path) -> None:
    assert "cannot read" in aidb.refused("import", tmp_path / "none", code=2)
    assert "cannot write" in aidb.refused("export", tmp_path / "none" / "file", code=2)
    assert "cannot write" in aidb.refused("import", "-", "--rejects", tmp_path / "none" / "file", code=2)


def test_what_is_no_stanza_is_left_out_and_said(aidb: Command) -> None:
    aidb("put", "plain-1", "hello")
    aidb("put", "plain-2", "Package: plain-2")
    done = aidb.run("export", "-", "--format", "deb822", "--prefix", "plain-")
    assert (done.returncode, done.stdout) == (6, b"Package: plain-2\n\n")
    assert b"plain-1: expected 'Field: value'" in done.stderr


def test_bench_tells_rate_latency_and_cpu(aidb: Command) -> None:
    load = ("--keys", 2000, "--batch", 50, "--threads", 2)
    put, get = aidb.document("bench", "put", *load), aidb.document("bench", "get", *load)
    assert put["keys_per_second"] > 0 and put["latency_ms"]["p50"] <= put["latency_ms"]["max"]
    assert put["server_cpu_us_per_key"]["primary"] > 0 and put["client_cpu_us_per_key"] > 0
    assert get["missing"] == 0
    assert aidb.document("bench", "get", "--keys", 10, "--prefix", "never-")["missing"] == 10
