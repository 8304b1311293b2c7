"""``direct=False``: a cluster through the addresses given alone, as through ``kubectl port-forward``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import aidb
import aidb.aio
from aidb.sources import is_direct
from tests.node.process import NodeProcess
from tests.sdk.conftest import Cluster
from tests.sdk.gateway import Gateway


@dataclass
class Behind:
    """A cluster with two routers, each behind an address of its own."""

    cluster: Cluster
    routers: list[NodeProcess]
    gateways: list[Gateway]

    @property
    def address(self) -> str:
        return self.gateways[0].address


@pytest.fixture(scope="module")
def behind(cluster: Cluster) -> Iterator[Behind]:
    made = Behind(cluster, [], [])
    try:
        for number in range(2):
            name = f"router-{number}"
            router = NodeProcess(cluster.address, cluster.directory / name, role="router", name=name)
            made.routers.append(router)
            made.gateways.append(Gateway(router.ready().address))
        yield made
    finally:
        for gateway in made.gateways:
            gateway.close()
        for router in made.routers:
            router.kill()


def test_one_address_is_the_whole_cluster(behind: Behind) -> None:
    items = {b"through:%d" % number: b"v%d" % number for number in range(500)}
    with aidb.connect(behind.address, direct=False) as db:
        version = db.put(b"through:0", b"first")
        assert db.get(b"through:0") == b"first"
        assert db.get(b"through:0", consistency="strong") == b"first"
        with pytest.raises(aidb.ConditionFailed):
            db.put(b"through:0", b"", if_version=version + 1)
        db.put_many(items).raise_for_errors()
        assert db.get_many([*items, b"through:none"]) == [*items.values(), None]
        assert {entry.key: entry.value for entry in db.scan(prefix=b"through:")} == items
        assert [entry.key for entry in db.scan(prefix=b"through:", ordered=True)] == sorted(items)
        db.write_batch(aidb.WriteBatch().put(b"{through}:x", b"1").put(b"{through}:y", b"2"))
        db.delete(b"{through}:x")
        assert db.get_many([b"{through}:x", b"{through}:y"]) == [None, b"2"]
        assert {stats["role"] for stats in db.stats().values()} == {"router"}


async def test_asyncio_is_the_same(behind: Behind) -> None:
    async with aidb.aio.connect(behind.address, direct=False) as db:
        (await db.put_many([(b"aio-through:%d" % n, b"v") for n in range(100)])).raise_for_errors()
        assert await db.get(b"aio-through:7") == b"v"
        assert len([entry async for entry in db.scan(prefix=b"aio-through:")]) == 100


def test_a_session_reads_its_own_writes(behind: Behind) -> None:
    with aidb.connect(behind.address, direct=False) as db:
        for number in range(200):
            db.put(b"through-session", b"%d" % number)
            assert db.get(b"through-session") == b"%d" % number
        token = db.session_token
    with aidb.connect(behind.address, direct=False, token=token) as later:
        assert later.get(b"through-session") == b"199"


def test_without_it_the_error_says_what_to_do(behind: Behind) -> None:
    said: list[str] = []
    with aidb.connect(behind.address) as db:
        for _ in range(10):  # a call whose time is up before it is sent says only that
            with pytest.raises(aidb.AidbError) as refused:
                db.get(b"through:0", timeout=1.0)
            said.append(str(refused.value))
            if "direct=False" in said[-1]:
                return
    raise AssertionError(said)


def test_a_client_with_two_addresses_rides_over_the_death_of_one(behind: Behind) -> None:
    both = ",".join(gateway.address for gateway in behind.gateways)
    with aidb.connect(both, direct=False, timeout=60.0) as db:
        before = behind.gateways[0].asked.get("Put", 0)
        db.put(b"through-two", b"0")
        used = 0 if behind.gateways[0].asked.get("Put", 0) > before else 1
        behind.gateways[used].close()
        for number in range(20):
            db.put(b"through-two", b"%d" % number)
            assert db.get(b"through-two") == b"%d" % number
    behind.gateways[used] = Gateway(behind.routers[used].address)


def test_other_programs_than_routers_are_refused_by_name(cluster: Cluster) -> None:
    with (
        aidb.connect(cluster.primaries[0].address, direct=False) as db,
        pytest.raises(aidb.InvalidArgument, match="router"),
    ):
        db.get_many([b"%d" % number for number in range(50)])
    with (
        aidb.connect(cluster.address, direct=False) as db,
        pytest.raises(aidb.Unsupported, match="router"),
    ):
        db.get(b"k")


def test_the_command_line_has_it_too(behind: Behind) -> None:
    def aidb_(*arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "aidb.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, **environment},
        )
        return done.stdout

    aidb_("--no-direct", "put", "through-cli", "hello", "--address", behind.address)
    assert aidb_("get", "through-cli", AIDB_DIRECT="false", AIDB_ADDRESS=behind.address) == "hello"


def test_the_variable_is_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIDB_DIRECT", raising=False)
    assert is_direct(None) and not is_direct(False)
    for text, expected in (
        ("0", False),
        ("False", False),
        ("no", False),
        ("1", True),
        ("TRUE", True),
        ("", True),
    ):
        monkeypatch.setenv("AIDB_DIRECT", text)
        assert is_direct(None) is expected
    assert is_direct(True)
    monkeypatch.setenv("AIDB_DIRECT", "perhaps")
    with pytest.raises(aidb.InvalidArgument, match="AIDB_DIRECT"):
        is_direct(None)
