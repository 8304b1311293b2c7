"""A secured local cluster, as users make and use it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aidb
from aidb.client import Client
from tests.cli.command import Command
from tests.coordinator.process import until


class Admin(Command):
    """Runs `aidb-admin` beside `aidb`."""

    def admin(self, *arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from aidb.admin.main import main; main()", *map(str, arguments)],
            capture_output=True,
            cwd=self.directory,
            env={**os.environ, "AIDB_DATA": str(self.data)},
            check=False,
            text=True,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    @property
    def security(self) -> Path:
        return self.data / "security"

    def client(self, token: str) -> Client:
        return aidb.connect(self.address, tls=aidb.Tls(self.security / "client", token=token))

    @property
    def address(self) -> str:
        return str(self.document("status")["coordinator"]["address"])


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    directory = tmp_path_factory.mktemp("secure")
    command = Admin(directory, directory / "data")
    command("up", "--detach", "--secure", "--port", 0, "--shards", 1, "--replicas", 1)
    yield command
    command("down")


def test_commands_find_certificates_and_token_by_themselves(secure: Admin) -> None:
    secure("put", "k", "v")
    assert secure("get", "k") == b"v"
    assert b"CoordinatorStarted" in secure("events")
    router = secure.document("status")["routers"][0]["address"]
    assert secure("get", "k", "--address", router) == b"v"


def test_a_strangers_directory_does_not_open_it(secure: Admin, tmp_path: Path) -> None:
    stranger = Command(tmp_path, tmp_path / "data")
    said = stranger.refused("get", "k", "--address", secure.address, "--timeout", "2s", code=5)
    assert "AIDB_TLS" in said
    said = stranger.refused("--tls", tmp_path, "get", "k", "--address", secure.address, code=2)
    assert "ca.crt" in said


def test_only_the_owner_reads_what_is_secret(secure: Admin) -> None:
    assert stat.S_IMODE(secure.security.stat().st_mode) == 0o700
    open_to_others = [
        path
        for path in secure.security.rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_tokens_are_made_listed_and_revoked(secure: Admin) -> None:
    token = secure.admin("tokens", "create", "reader", "--role", "read-only").strip()
    assert token.startswith("aidb_") and token not in (secure.security / "tokens.json").read_text()

    def known() -> bool:
        """Each program finds out by itself."""
        try:
            with secure.client(token) as db:
                return db.get(b"nothing") is None
        except (aidb.ClusterUnreachable, aidb.Unauthenticated):
            return False

    until(known)
    with secure.client(token) as db:
        with pytest.raises(aidb.PermissionDenied):
            db.put(b"k", b"w")
        assert "reader" in secure.admin("tokens", "list") and "admin" in secure.admin("tokens", "list")
        secure.admin("tokens", "revoke", "reader")

        def refused() -> bool:
            try:
                db.get(b"nothing", consistency="strong")
            except aidb.Unauthenticated:
                return True
            return False

        until(refused)


def test_a_limited_token_and_keyspaces_on_the_command_line(secure: Admin, tmp_path: Path) -> None:
    limits = ("--keyspace", 3, "--prefix", "user:", "--prefix", "session:")
    file = tmp_path / "shop.token"
    file.write_text(secure.admin("tokens", "create", "shop", "--role", "read-write", *limits))
    address, tls = secure.address, admin_of(secure)
    for keyspace, key in ((0, b"user:1"), (3, b"user:1"), (3, b"other")):
        with aidb.connect(address, tls=tls, keyspace=keyspace) as db:
            db.put(key, b"%d" % keyspace)

    def known() -> bool:
        try:
            secure.client(file.read_text().strip()).close()
        except aidb.ClusterUnreachable:
            return False
        return True

    until(known)
    third = ("--tls", secure.security / "client", "--token-file", file, "--keyspace", 3)
    assert secure(*third, "get", "user:1") == b"3"
    assert "begin with" in secure.refused(*third, "get", "other", code=8)

    # What is exported from one keyspace is imported into another, and into no third one.
    dump = tmp_path / "dump.jsonl"
    secure("--keyspace", 3, "export", dump)
    secure("--keyspace", 4, "import", dump)
    with aidb.connect(address, tls=tls, keyspace=4) as db:
        assert {entry.key: entry.value for entry in db.scan()} == {b"user:1": b"3", b"other": b"3"}
        assert [entry.key for entry in db.scan(ordered=True, reverse=True)] == [b"user:1", b"other"]
        assert db.get_many([b"user:1", b"k"]) == [b"3", None]
    with aidb.connect(address, tls=tls) as db:
        assert db.get(b"user:1") == b"0" and db.get(b"other") is None


def test_the_audit_log_of_a_local_cluster(secure: Admin) -> None:
    secure.admin("tokens", "create", "brief", "--role", "monitor")

    def acts() -> set[str]:
        found = json.loads(secure.admin("audit", "-o", "json"))
        return {act["act"] for act in found if act["asked"].get("name") == "brief"}

    until(lambda: {"CreateToken", "TokenAdded"} <= acts())


def admin_of(secure: Admin) -> aidb.Tls:
    """What the command line finds."""
    client = secure.security / "client"
    return aidb.Tls(client, token_file=client / "token")


def test_certificates_and_authority_are_renewed(secure: Admin) -> None:
    before = (secure.security / "client" / "tls.crt").read_bytes()
    for options in ([], ["--authority"], [], ["--forget"]):
        secure.admin("certificates", "renew", *options)
        after = (secure.security / "client" / "tls.crt").read_bytes()
        assert after != before
        before = after

        def served() -> bool:
            """All members answer who they are to a client with the new files."""
            done = secure.run("put", "k", "v", "--timeout", "5s")
            status = secure.run("status")
            return done.returncode == 0 and status.returncode == 0

        until(served)
    authorities = sorted(path.name for path in (secure.security / "authorities").iterdir())
    assert authorities == ["2.crt", "2.key"]


def test_an_existing_cluster_is_not_secured_afterwards(nowhere: Command) -> None:
    nowhere("up", "--detach", "--port", 0, "--shards", 1, "--replicas", 0)
    nowhere("down")
    said = nowhere.refused("up", "--secure", code=2)
    assert "made without --secure" in said


def test_secrets_are_in_no_log(secure: Admin) -> None:
    """The last test: the logs have all that the others did."""
    secrets = [(secure.security / "client" / "token").read_text().strip()]
    keys = [path for path in secure.security.rglob("*.key") if not path.is_symlink()]
    secrets += [path.read_text().splitlines()[1] for path in keys]
    assert len(secrets) > 5
    said = "".join(path.read_text(errors="replace") for path in (secure.data / "logs").iterdir())
    said += secure("status", "-o", "json").decode() + secure("events").decode()
    assert [secret for secret in secrets if secret in said] == []
