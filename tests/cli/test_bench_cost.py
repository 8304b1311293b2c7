"""What `aidb bench cost` counts and multiplies; the measurement itself is `make bench-cost`."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

import pytest

from aidb.cli.bench_cost.counting_proxy import CountingProxy
from aidb.cli.bench_cost.prices import Measured, Prices, Scale, cost, prices_of
from aidb.cli.bench_cost.run import Row, table, verdicts
from aidb.cli.bench_cost.usage import Usage
from aidb.cli.bench_cost.workloads import WORKLOADS, Keys
from aidb.cli.exits import Failure
from tests.coordinator.process import until

END = Usage(tables=2_000_000, log=1_000_000, objects=5_000_000, memory=1_000_000_000, puts=3, gets=2)
RUN = Usage(network=100_000, uploaded=400_000, puts=20, gets=10, cpu_us=5_000_000)
MEASURED = Measured(Usage(network=7), RUN, END, operations=1000, seconds=10.0, logical=1_000_000)
SCALE = Scale(data_gb=1.0, rate=100.0, keep_days=1.0, snapshots=24.0)


def test_money_is_multiplication() -> None:
    found = cost(MEASURED, Prices(disk=1, objects=0.5, cpu=10, memory=2, network=3, puts=1, gets=0.1), SCALE)
    tables, kept = 2.0, 400_000 * 0.1 * 86_400 / 1e9
    assert found.storage == pytest.approx(tables + 0.001 + 0.5 * (tables + kept))
    assert found.nodes == pytest.approx(0.5 * 10 + 2)
    assert found.network == pytest.approx(100_000 * 0.1 * 2_628_000 / 1e9 * 3)
    month, snapshots = 2_628_000 / 10.0, 730
    assert found.requests == pytest.approx(
        (20 * month + 3 * snapshots + 0.1 * (10 * month + 2 * snapshots)) / 1000
    )
    without = replace(MEASURED, end=replace(END, objects=0))
    assert cost(without, Prices(disk=1, objects=99), SCALE).storage == pytest.approx(tables + 0.001)


def test_promises_are_judged() -> None:
    three = replace(MEASURED, run=replace(RUN, network=1_000_000))
    costs = cost(three, Prices(), SCALE)
    row = Row("A", "no replica", three, costs, MEASURED, replace(costs, storage=0, nodes=0))
    assert row.network_change == pytest.approx(-0.9)
    (line,) = verdicts([row])
    assert "bytes between nodes -90% (-80 % holds)" in line
    assert row.document()["network_promise_holds"]
    nothing = replace(row, three=replace(three, run=replace(RUN, network=0)))
    assert nothing.network_change is None
    assert "nothing to save" in next(verdicts([nothing]))
    assert {len(cells) for cells in table([row])} == {5}


def test_prices_can_be_changed() -> None:
    assert prices_of(["disk=0.5", "puts=0"]) == replace(Prices(), disk=0.5, puts=0.0)
    for wrong in ("disk", "disk=x", "gold=1", "disk=-1"):
        with pytest.raises(Failure, match="--price"):
            prices_of([wrong])


def test_popular_keys_are_drawn_often_and_seeds_repeat() -> None:
    a, b, c, cache = WORKLOADS
    drawn = [operation.key for operation in Keys(1000, 3).draw(a, 20_000)]
    assert drawn == [operation.key for operation in Keys(1000, 3).draw(a, 20_000)]
    by_count = sorted((drawn.count(key) for key in set(drawn)), reverse=True)
    assert by_count[0] > 20 * by_count[len(by_count) // 2]
    parts = [sum(one.write for one in Keys(100, 1).draw(one_of, 4000)) / 4000 for one_of in (a, b, c)]
    assert parts == [pytest.approx(0.5, abs=0.05), pytest.approx(0.05, abs=0.02), 0.0]
    assert len(Keys(1000, 1).loaded(cache.absent)) == pytest.approx(500, abs=80)


def test_the_proxy_counts_both_ways() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                while content := connection.recv(65536):
                    connection.sendall(content * 2)

        threading.Thread(target=answer, daemon=True).start()
        with CountingProxy(lambda: f"127.0.0.1:{server.getsockname()[1]}") as proxy:
            host, _, port = proxy.address.rpartition(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"x" * 1000)
                left = 2000
                while left:
                    left -= len(client.recv(65536))
            until(lambda: proxy.bytes == 3000)
    with CountingProxy(lambda: "") as nowhere:
        host, _, port = nowhere.address.rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            assert client.recv(1) == b""
