"""The audit log of a secured cluster: who, what, and what became of it; never a secret."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from aidb_coordinator.audit import REFUSALS, AuditLog

from aidb.admin.app import app
from aidb.cli.main import run
from aidb.security import tokens
from aidb.security.audit import FILE, Act, acts_in, append, encode, line
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc, node_pb2, node_pb2_grpc
from tests.coordinator.process import until
from tests.security.cluster import ROLES, SecuredCluster, bearer


def acts(path: Path) -> list[Act]:
    if not path.exists():
        return []
    with path.open() as lines:
        return list(acts_in(lines))


def of_coordinator(secured: SecuredCluster) -> list[Act]:
    return acts(secured.directory / "coordinator-data" / FILE)


def cancel(secured: SecuredCluster, role: str | None, move: str) -> None:
    """A call that is for administrators, and fails whoever makes it."""
    metadata = () if role is None else bearer(secured.secrets[role])
    with secured.channel(secured.coordinator.address) as channel, pytest.raises(grpc.RpcError):
        stub = cluster_pb2_grpc.CoordinationStub(channel)
        stub.CancelMove(pb.CancelMoveRequest(id=move), metadata=metadata, timeout=10)


def found(secured: SecuredCluster, move: str) -> list[Act]:
    return [act for act in of_coordinator(secured) if act.asked.get("id") == move]


def test_who_did_what_and_what_became_of_it(secured: SecuredCluster) -> None:
    cancel(secured, "admin", "no-move")
    cancel(secured, "read-only", "not-mine")
    cancel(secured, None, "nobodys")
    until(lambda: found(secured, "no-move") and found(secured, "not-mine") and found(secured, "nobodys"))
    (done,), (refused,) = found(secured, "no-move"), found(secured, "not-mine")
    assert (done.program, done.who, done.act) == ("coordinator", "admin", "CancelMove")
    assert done.outcome.startswith("failed: ") and "no-move" in done.outcome
    assert refused.who == "read-only" and refused.outcome.startswith("refused: ")
    (nobody,) = found(secured, "nobodys")
    assert nobody.who.startswith("127.0.0.1:") and nobody.outcome.startswith("refused: no token")


def test_what_is_no_administration_is_not_in_it(secured: SecuredCluster) -> None:
    with secured.channel(secured.coordinator.address) as channel:
        stub = cluster_pb2_grpc.CoordinationStub(channel)
        stub.ListMoves(pb.ListMovesRequest(), metadata=bearer(secured.secrets["admin"]), timeout=10)
    cancel(secured, "admin", "afterwards")
    until(lambda: found(secured, "afterwards"))
    assert "ListMoves" not in {act.act for act in of_coordinator(secured)}


@pytest.mark.parametrize("role", ["primary", "replica"])
def test_a_node_tells_in_its_log(secured: SecuredCluster, role: str) -> None:
    program = getattr(secured, role)

    def flushes() -> list[Act]:
        return [act for act in acts(program.log) if act.act == "Flush"]

    before = len(flushes())
    with secured.channel(program.address) as channel:
        stub = node_pb2_grpc.NodeStub(channel)
        try:
            stub.Flush(node_pb2.FlushRequest(), metadata=bearer(secured.secrets["admin"]), timeout=30)
        except grpc.RpcError:
            assert role == "replica", "a cache has nothing to flush"
    until(lambda: len(flushes()) > before)
    told = flushes()[-1]
    assert told.who == "admin" and told.program.startswith("shard-0-")
    assert told.outcome == ("done" if role == "primary" else told.outcome)
    assert told.outcome.startswith("failed: ") == (role == "replica")


def test_changes_of_tokens_are_seen_however_they_are_made(secured: SecuredCluster) -> None:
    def of_reader() -> list[str]:
        return [act.act for act in of_coordinator(secured) if act.asked.get("name") == "read-only"]

    before = len(of_reader())
    secured.write_tokens([role for role in ROLES if role != "read-only"])
    until(lambda: "TokenRevoked" in of_reader()[before:])
    secured.write_tokens(ROLES)
    until(lambda: "TokenAdded" in of_reader()[before:])
    text = (secured.directory / "coordinator-data" / FILE).read_text()
    hashes = [tokens.digest(secret).hex() for secret in secured.secrets.values()]
    assert [secret for secret in (*secured.secrets.values(), *hashes) if secret in text] == []


def test_the_command_reads_files_and_logs(
    secured: SecuredCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cancel(secured, "admin", "by-command")
    until(lambda: found(secured, "by-command"))
    path = secured.directory / "coordinator-data" / FILE
    assert run(["audit", str(path), str(secured.primary.log), "-o", "json"], app, "aidb-admin") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == sorted(shown, key=lambda act: act["unix_ms"])
    assert {"who", "act", "asked", "outcome", "program", "unix_ms"} == set(shown[0])
    assert run(["audit", str(path), "--limit", "1"], app, "aidb-admin") == 0
    heading, only = capsys.readouterr().out.splitlines()
    assert heading.split() == ["TIME", "WHO", "PROGRAM", "ACT", "ASKED", "OUTCOME"] and only
    assert run(["audit", str(path.with_name("nothing"))], app, "aidb-admin") == 2
    assert "cannot read" in capsys.readouterr().err


def test_commands_note_what_they_do_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "tokens.json")
    create = ["tokens", "create", "ci", "--role", "read-write", "--keyspace", "3", "--prefix", "user:"]
    assert run([*create, "--file", file], app, "aidb-admin") == 0
    secret = capsys.readouterr().out.strip()
    assert run(["tokens", "revoke", "ci", "--file", file], app, "aidb-admin") == 0
    created, revoked = acts(tmp_path / FILE)
    assert (created.act, revoked.act) == ("CreateToken", "RevokeToken")
    assert created.asked == {"name": "ci", "role": "read-write", "keyspaces": [3], "prefixes": ["user:"]}
    assert created.who and secret not in (tmp_path / FILE).read_text()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    refused = ["tokens", "create", "boss", "--role", "admin", "--keyspace", "3", "--file", file]
    assert run(refused, app, "aidb-admin") == 2
    assert "cannot be limited" in capsys.readouterr().err


def test_lines_stand_among_others() -> None:
    act = Act(7, "coordinator", "ci", "Restore", {"shard": 1}, "done")
    log = ["2026-01-01 INFO something", f"[pod/a] {line(act)}", '{"aidb_audit":9}', '{"aidb_audit":1,', ""]
    assert list(acts_in(log)) == [act]
    long = Act(7, "coordinator", "ci", "Restore", {"url": "x" * 10_000})
    assert len(line(long)) < 6_000 and encode(long)["asked"]["cut"].startswith('{"url": "xxx')


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aidb.security.audit._FILE_BYTES", 1000)
    path = tmp_path / FILE
    for number in range(100):
        append(path, Act(number, "aidb-admin", "me", "CreateToken"))
    sizes = [part.stat().st_size for part in tmp_path.iterdir()]
    assert len(sizes) == 2 and max(sizes) <= 1000
    assert acts(path)[-1].unix_ms == 99

    log = AuditLog(tmp_path / "refusals", lambda: 120_000)
    for _ in range(10 * REFUSALS):
        log.add("x", "Restore", {}, "refused: no")
    log.add("admin", "Restore", {}, "done")
    assert log.lines is not None and len(log.lines.items) == REFUSALS + 1
