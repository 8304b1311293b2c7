"""`kubectl aidb` against a real API server, without anything that carries out what it wishes."""

from __future__ import annotations

import contextlib
import json
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aidb_operator.kubectl import forward
from aidb_operator.kubectl.app import app
from aidb_operator.kubectl.complete import complete
from aidb_operator.kubectl.forward import forwarded
from aidb_operator.kubectl.main import in_order

from aidb.cli.main import run
from aidb.report.redaction import HIDDEN, redacted, text
from tests.kubernetes.apiserver import ApiServer

Capture = pytest.CaptureFixture[str]
GROUP = "/apis/aidb.io/v1alpha1/namespaces"


class Plugin:
    def __init__(self, apiserver: ApiServer, namespace: str, capsys: Capture) -> None:
        self.apiserver, self.namespace, self.capsys = apiserver, namespace, capsys

    def __call__(self, *words: object, code: int = 0) -> str:
        """stdout, or stderr where it has to fail."""
        where = ["--kubeconfig", str(self.apiserver.kubeconfig), "-n", self.namespace]
        found = run([*map(str, words), *where], app, "kubectl aidb", prepare=in_order)
        said = self.capsys.readouterr()
        assert found == code, said
        return said.out if code == 0 else said.err

    def document(self, *words: object) -> Any:
        return json.loads(self(*words, "-o", "json"))

    def completed(self, *words: str) -> list[str]:
        """What is offered for the last word."""
        where = ["--kubeconfig", str(self.apiserver.kubeconfig), "-n", self.namespace]
        return complete([*where, *words])

    def make(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        body = {"apiVersion": "aidb.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.apiserver.request("POST", f"{GROUP}/{self.namespace}/{kind.lower()}s", body)

    def get(self, plural: str, name: str) -> Any:
        return self.apiserver.request("GET", f"{GROUP}/{self.namespace}/{plural}/{name}")

    def tell(self, plural: str, name: str, status: dict[str, Any]) -> None:
        path = f"{GROUP}/{self.namespace}/{plural}/{name}/status"
        self.apiserver.request("PATCH", path, {"status": status}, "application/merge-patch+json")


@pytest.fixture
def plugin(apiserver: ApiServer, namespace: str, capsys: Capture) -> Plugin:
    made = Plugin(apiserver, namespace, capsys)
    made.make("AidbCluster", "db", {"shards": 2})
    for shard in range(2):
        made.make("ShardGroup", f"db-{shard}", {"cluster": "db", "shard": shard, "replicas": 1})
    return made


def test_wishes_are_written_into_the_cluster(plugin: Plugin) -> None:
    def annotations() -> dict[str, str]:
        found: dict[str, str] = plugin.get("aidbclusters", "db")["metadata"].get("annotations", {})
        return found

    assert plugin.document("pause") == {"cluster": "db", "paused": True}
    assert annotations() == {"aidb.io/paused": "true"}
    plugin("unpause", "db")
    assert plugin.document("fence", "db", "--shard", 1)["fenced"] == [1]
    assert plugin.document("fence", "db")["fenced"] == [0, 1]
    assert annotations() == {"aidb.io/fenced": "0,1"}
    assert plugin.document("unfence", "--shard", 0)["fenced"] == [1]
    assert "fenced shards: none" in plugin("unfence", "db")
    assert annotations() == {}
    assert "no shard 7" in plugin("fence", "--shard", 7, code=2)
    plugin("hibernate", "db")
    assert plugin.get("aidbclusters", "db")["spec"]["hibernate"] is True
    plugin("resume", "db")
    plugin("scale", "--shards", 4, "--replicas", 3, "--routers", 1)
    spec = plugin.get("aidbclusters", "db")["spec"]
    assert (spec["hibernate"], spec["shards"], spec["replicas"]) == (False, 4, 3)
    assert spec["routers"]["replicas"] == 1
    assert "would undo this" in plugin("scale", "--shard", 1, "--replicas", 5, code=2)
    autoscaling = {"spec": {"autoscaling": {"replicas": {"enabled": True}}}}
    path = f"{GROUP}/{plugin.namespace}/aidbclusters/db"
    plugin.apiserver.request("PATCH", path, autoscaling, "application/merge-patch+json")
    plugin("scale", "--shard", 1, "--replicas", 5)
    assert plugin.get("shardgroups", "db-1")["spec"]["replicas"] == 5
    assert "there is no AidbCluster other" in plugin("status", "other", code=3)
    assert "say what" in plugin("scale", code=2)


def test_backups_and_restores_are_made_and_followed(plugin: Plugin) -> None:
    made = plugin.document("backup", "--name", "one", "--retain", "--no-wait")
    assert made["spec"] == {"cluster": "db", "deadlineSeconds": 3600, "deletionPolicy": "Retain"}
    condition = {"reason": "X", "message": "the store is away", "lastTransitionTime": "2026-11-28T12:00:00Z"}

    def ended(type: str) -> list[dict[str, Any]]:
        return [{"type": type, "status": "True"} | condition]

    # What the operator would say: to the one that is made, as soon as it is there.
    with told_to(plugin, "aidbbackups", "two", {"phase": "Complete", "conditions": ended("Complete")}):
        assert "AidbBackup two Complete" in plugin("backup", "--name", "two", "--timeout", "60s")
    with told_to(plugin, "aidbbackups", "three", {"phase": "Failed", "conditions": ended("Failed")}):
        assert "three failed: the store is away" in plugin("backup", "--name", "three", code=1)
    restore = plugin.document("restore", "--backup", "one", "--shard", 1, "--yes", "--no-wait")
    assert restore["spec"] == {"cluster": "db", "backup": "one", "shards": [1]}
    refused = plugin("restore", "--backup", "one", "--to-time", "2026-11-28T12:00:00Z", "--yes", code=2)
    assert "at most one of backup, time and lsn" in refused
    status = plugin("status")
    assert "AidbBackup   three" in status
    assert [one["name"] for one in plugin.document("status")["backups"]] == ["one", "three", "two"]
    assert yaml.safe_load(plugin("status", "-o", "yaml")) == plugin.document("status")
    assert plugin.completed("status", "") == ["db"]


@contextmanager
def told_to(plugin: Plugin, plural: str, name: str, status: dict[str, Any]) -> Iterator[None]:
    done = threading.Event()

    def tell() -> None:
        while not done.is_set():
            with contextlib.suppress(Exception):
                plugin.tell(plural, name, status)
                return
            done.wait(0.1)

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_report_says_what_it_could_not_have(plugin: Plugin, tmp_path: Path) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "db-tokens", "labels": {"aidb.io/cluster": "db"}},
        "data": {"password": "swordfish"},
    }
    plugin.apiserver.request("POST", f"/api/v1/namespaces/{plugin.namespace}/configmaps", secret)
    about = plugin.document("report", "--file", tmp_path / "r.tar.gz")
    assert any("no coordinator of db leads" in what for what in about["missing"])
    with tarfile.open(tmp_path / "r.tar.gz") as archive:
        files = {member.name.partition("/")[2]: archive.extractfile(member) for member in archive}
        members = {name: file.read() for name, file in files.items() if file is not None}
    assert {"aidbclusters.yaml", "shardgroups.yaml", "configmaps.yaml", "report.json"} <= set(members)
    assert not any(b"swordfish" in content for content in members.values())
    assert b"db-tokens" in members["configmaps.yaml"]
    assert plugin("report", "--file", tmp_path / "r.tar.gz", code=1), "nothing is written over"


def test_where_the_cluster_is_may_stand_behind_the_command() -> None:
    assert in_order(["status", "db", "-n", "x", "--context=y"]) == ["-n", "x", "--context=y", "status", "db"]
    assert in_order(["logs", "--", "-n", "x"]) == ["logs", "--", "-n", "x"]
    assert in_order(["status", "-n"]) == ["-n", "status"]


def test_nothing_secret_leaves() -> None:
    container = {
        "env": [
            {"name": "X", "value": "y"},
            {"name": "K", "valueFrom": {"secretKeyRef": {"key": "access-key"}}},
        ]
    }
    pod = {
        "kind": "Pod",
        "metadata": {
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"},
            "managedFields": [],
        },
        "spec": {"containers": [container], "volumes": [{"secret": {"secretName": "db-tokens"}}]},
        "token": "abc",
        "tokens": 7,
    }
    found = redacted(pod)
    assert found["spec"]["containers"][0]["env"][0] == {"name": "X", "value": HIDDEN}
    assert found["spec"]["containers"][0]["env"][1] == container["env"][1]
    assert found["spec"]["volumes"][0]["secret"]["secretName"] == "db-tokens"
    assert (found["token"], found["tokens"]) == (HIDDEN, 7)
    assert found["metadata"] == {
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": HIDDEN, "a": "b"}
    }
    assert redacted({"kind": "Secret", "data": {"a": "b"}})["data"] == HIDDEN
    key = "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----"
    assert text(f"Authorization: Bearer abc.def, token=xyz {key} end") == (
        f"Authorization: Bearer {HIDDEN}, token={HIDDEN} {HIDDEN} end"
    )


class Opened:
    """A forwarded connection, to a server of this process."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address)

    def socket(self, port: int) -> socket.socket:
        assert port == 7401
        return self._socket

    def close(self) -> None:
        self._socket.close()


def test_bytes_go_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        while content := connection.recv(1 << 16):
                            connection.sendall(content)

        threading.Thread(target=echo, daemon=True).start()
        monkeypatch.setattr(forward, "portforward", lambda *_, **__: Opened(server.getsockname()))
        with forwarded(None, "ns", "pod", 7401) as address:
            host, _, port = address.rpartition(":")
            sent = bytes(range(256)) * 1024
            for _ in range(2):
                with socket.create_connection((host, int(port)), timeout=30) as caller:
                    writer = threading.Thread(target=caller.sendall, args=(sent,))
                    writer.start()
                    got = b""
                    while len(got) < len(sent):
                        got += caller.recv(1 << 16)
                    writer.join()
                    assert got == sent
