"""client -> router or replica -> primary is one trace at a collector, with each span below who asked; the
coordinator's calls are spans; slow requests are in the log; no key is anywhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aidb
from tests.cli.command import Command
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess
from tests.tracing.collector import Collector, Span, collector

KEY = "planted-key"
# As an application does it, whose provider is its own.
APPLICATION = """
import sys, aidb, aidb.aio, asyncio
from aidb.tracing.provider import install, close
provider = install("application")
tracer = provider.get_tracer("application")
address, router, key = sys.argv[1], sys.argv[2], sys.argv[3].encode()

async def later():
    async with aidb.aio.connect(address) as db:
        with tracer.start_as_current_span("aio"):
            await db.get(key, consistency="strong")

# Several: on a busy machine one may be sent twice.
with aidb.connect(address) as db:
    for number in range(5):
        own = key + str(number).encode()
        with tracer.start_as_current_span("write"):
            db.put(own, b"planted-value")
        with tracer.start_as_current_span("read"):
            db.get(own)
    with tracer.start_as_current_span("many"):
        db.get_many([key + b"0", key + b"1"])
with aidb.connect(router, direct=False) as db:
    with tracer.start_as_current_span("routed"):
        db.put(key, b"planted-value")
asyncio.run(later())
close(provider, 30)
"""


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Command, Collector]]:
    with collector() as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.endpoint)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        patch.setenv("NO_PROXY", "127.0.0.1")
        directory = tmp_path_factory.mktemp("traces")
        command = Command(directory, directory / "data")
        shape = ("--port", 0, "--shards", 1, "--replicas", 1)
        command("up", "--detach", *shape, "--log-format", "json", "--timeout", "100s")
        yield command, found
        command("down")


def _chains(found: Collector, name: str) -> list[list[tuple[str, str]]]:
    """Who did what, from each of the application's spans of that name down, to where not exactly one is
    below: a call that was sent twice has two.
    """
    roots = [one for one in list(found.spans) if one.name == name and not one.parent]
    return [_chain(found, root) for root in roots]


def _chain(found: Collector, root: Span) -> list[tuple[str, str]]:
    span: Span | None = root
    chain: list[tuple[str, str]] = []
    while span is not None:
        chain.append((span.member or span.service, span.name))
        below = [one for one in found.of_trace(span.trace) if one.parent == span.id]
        span = below[0] if len(below) == 1 else None
    return chain


def test_a_trace_has_all_who_served_it(traces: tuple[Command, Collector]) -> None:
    command, found = traces
    status = command.document("status")
    address, router = status["coordinator"]["address"], status["routers"][0]["address"]
    subprocess.run([sys.executable, "-c", APPLICATION, address, router, KEY], check=True, timeout=120)
    want = {
        "write": [("application", "aidb.put"), ("shard-0-primary", "Put")],
        # A cache that has not the key asks the primary.
        "read": [
            ("application", "aidb.get"),
            ("shard-0-replica-0", "Get"),
            ("shard-0-primary", "Get"),
        ],
        "routed": [("application", "aidb.put"), ("router-0", "Put"), ("shard-0-primary", "Put")],
        "aio": [("application", "aidb.get"), ("shard-0-primary", "Get")],
    }
    for name, chain in want.items():
        whole = [("application", name), *chain]
        until(lambda name=name, whole=whole: whole in _chains(found, name), 60)  # type: ignore[misc]
    (many,) = _chains(found, "many")
    assert many[:2] == [("application", "many"), ("application", "aidb.get_many")]
    primary = next(one for one in found.spans if (one.member, one.name) == ("shard-0-primary", "Put"))
    assert primary.attributes["aidb.shard"] == 0
    assert primary.ended >= primary.began
    assert not any(b"planted" in body for body in found.bodies)


def test_a_command_and_the_coordinator_are_one_trace(traces: tuple[Command, Collector]) -> None:
    command, found = traces
    command("status")

    def together() -> bool:
        asked = [one for one in list(found.spans) if one.name == "aidb.GetClusterStatus"]
        answered = [one for one in list(found.spans) if one.name == "GetClusterStatus"]
        return any(one.parent == other.id for one in answered for other in asked)

    until(together, 60)


def test_what_nobody_samples_is_no_span(traces: tuple[Command, Collector]) -> None:
    """Members' heartbeats and the requests of clients without a provider."""
    command, found = traces
    names = {one.name for one in list(found.spans)}
    assert not names & {"Heartbeat", "Register"}
    assert command.data.exists()


def test_slow_requests_are_in_the_log(tmp_path: Path) -> None:
    coordinator = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", *FAST)
    node = NodeProcess(
        coordinator.address,
        tmp_path / "shard-0",
        *("--slow-request-ms", "1", "--log-format", "json"),
    ).ready()
    try:
        with aidb.connect(coordinator.address, timeout=60) as db:

            def slow() -> list[dict[str, object]]:
                db.put(KEY.encode(), b"x" * 4_000_000, timeout=60)
                lines = node.log.read_text().rpartition("\n")[0].splitlines()
                records = [json.loads(line) for line in lines if line.startswith("{")]
                return [one for one in records if one["message"] == "slow request"]

            (first, *_) = until(slow, 60)
    finally:
        node.kill()
        coordinator.kill()
    assert (first["method"], first["code"], first["shard"]) == ("Put", "OK", 0)
    assert first["program"] == "aidb-node"
    assert isinstance(first["duration_ms"], float)
    assert first["duration_ms"] >= 1
    assert "request" in first
    assert "planted" not in node.log.read_text()
