"""The commands for keys, status and events; exit codes."""

from __future__ import annotations

import json
import urllib.request

from tests.cli.command import Command


def test_a_value_goes_in_and_comes_out(aidb: Command) -> None:
    aidb("put", "greeting", "hello")
    assert aidb("get", "greeting") == b"hello"
    entry = aidb.document("get", "greeting")
    assert (entry["key"], entry["value"]) == ("greeting", "hello") and entry["version"] > 0
    aidb("put", "binary", content=b"\x00\xff\n")
    assert aidb("get", "binary") == b"\x00\xff\n"
    aidb("delete", "greeting")
    assert "no such key" in aidb.refused("get", "greeting", code=3)


def test_conditions_have_their_exit_code(aidb: Command) -> None:
    version = aidb.document("put", "once", "1", "--if-absent")["version"]
    assert "CONDITION_FAILED" in aidb.refused("put", "once", "2", "--if-absent", code=4)
    aidb("put", "once", "2", "--if-version", version)
    aidb.refused("put", "once", "3", "--if-version", version, code=4)


def test_a_scan_prints_what_was_asked(aidb: Command) -> None:
    for number in range(5):
        aidb("put", f"scan-{number}", str(number))
    found = aidb("scan", "--prefix", "scan-", "--ordered").decode().splitlines()
    assert found == [f"scan-{number}\t{number}" for number in range(5)]
    documents = aidb.document("scan", "--prefix", "scan-", "--limit", 2)
    assert len(documents) == 2 and documents[0]["key"].startswith("scan-")


def test_bad_keys_and_values_are_refused(aidb: Command) -> None:
    assert "KEY_EMPTY" in aidb.refused("put", "", "v", code=2)
    assert "KEY_EMPTY" in aidb.refused("get", "", code=2)
    assert "KEY_TOO_LARGE" in aidb.refused("put", "k" * 8193, "v", code=2)
    assert "VALUE_TOO_LARGE" in aidb.refused("put", "k", code=2, content=b"v" * ((16 << 20) + 1))
    assert "larger than 64 MiB" in aidb.refused("put", "k", code=2, content=b"v" * ((64 << 20) + 1))
    aidb.refused("put", "k", "v", "--ttl", "soon", code=2)
    aidb.refused("frobnicate", code=2)


def test_the_shape_of_status_is_stable(aidb: Command) -> None:
    status = aidb.document("status")
    assert set(status) >= {"shards", "routers", "coordinator"}
    assert [shard["id"] for shard in status["shards"]] == [0, 1]
    for shard in status["shards"]:
        assert set(shard) >= {"id", "state", "keys", "bytes", "primary", "replicas"}
        assert shard["state"] == "Running"
        assert set(shard["primary"]) >= {"address", "pid"}
        assert all(set(replica) >= {"address", "pid", "state"} for replica in shard["replicas"])
    assert set(status["coordinator"]) >= {"address", "pid", "cluster_uid", "term", "topology_version"}
    assert b"shard-1-replica-0" in aidb("status")
    members = [member for shard in status["shards"] for member in [shard["primary"], *shard["replicas"]]]
    for program in [*members, *status["routers"], status["coordinator"]]:
        with urllib.request.urlopen(f"http://{program['metrics']}/metrics", timeout=10) as answer:
            assert b"aidb_uptime_seconds" in answer.read()


def test_events_tell_what_happened(aidb: Command) -> None:
    events = aidb.document("events")
    assert events and {"seq", "severity", "reason", "subject", "message"} <= set(events[0])
    assert aidb("events")


def test_an_address_where_nobody_listens(aidb: Command) -> None:
    for command in (("get", "k"), ("status",)):
        said = aidb.refused(*command, "--address", "127.0.0.1:1", "--timeout", "2s", code=5)
        assert "127.0.0.1:1" in said
    assert "host:port" in aidb.refused("get", "k", "--address", "nonsense", code=2)


def test_an_address_of_another_program(aidb: Command) -> None:
    primary = aidb.document("status")["shards"][0]["primary"]["address"]
    assert aidb("get", "once", "--address", primary) == b"2"
    assert "not the coordinator" in aidb.refused("status", "--address", primary, code=2)


def test_the_version() -> None:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "aidb.cli", "version", "-o", "json"], capture_output=True)
    assert json.loads(done.stdout)["aidb"]
