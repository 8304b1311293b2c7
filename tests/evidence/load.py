"""A million puts through the client's batches into three shards with two replicas each: the rate, and the CPU
time of all programs per key.

``--rounds`` counts thousands of keys. The figures are what they are: only a lost key is a violation.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aidb
from aidb.client import Client
from aidb.local.cluster import LocalCluster
from aidb.local.processes import find
from tests.evidence.local import local_cluster
from tests.evidence.report import Report, options

BATCH, VALUE_BYTES, THREADS = 1000, 100, 2
SETTLE_SECONDS = 60.0
# All primaries in a second, heartbeats and pings included.
IDLE_CPU_US = 100_000


def cpu_us(cluster: LocalCluster, client: Client) -> Counter[str]:
    """CPU time of the programs so far, by role: what nodes say of themselves, and the coordinator's."""
    spent: Counter[str] = Counter()
    for stats in client.stats().values():
        spent[stats["role"]] += stats["cpu_us"]
    for running in find(cluster.description.cluster_uid):
        if running.name == "coordinator":
            spent["coordinator"] = cpu_us_of(running.process.pid)
    return spent


def cpu_us_of(pid: int) -> int:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def settled(cluster: LocalCluster, client: Client) -> Counter[str]:
    """`cpu_us` as soon as the primaries have flushed and compacted: work that the puts left behind."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        before = cpu_us(cluster, client)
        time.sleep(1.0)
        after = cpu_us(cluster, client)
        if after["primary"] - before["primary"] < IDLE_CPU_US or time.monotonic() > end:
            return after


def put_all(client: Client, thousands: int, seed: int) -> None:
    def put(thread: int) -> None:
        rng = random.Random(seed + thread)
        for number in range(thread, thousands, THREADS):
            value = rng.randbytes(VALUE_BYTES)
            keys = range(number * BATCH, (number + 1) * BATCH)
            client.put_many([(b"key-%09d" % key, value) for key in keys]).raise_for_errors()

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(put, thread) for thread in range(THREADS)]:
            done.result()


def missing(client: Client, thousands: int) -> int:
    """Keys that are not there, by a scan of all."""
    found = sum(1 for _ in client.scan(keys_only=True, prefix=b"key-"))
    return thousands * BATCH - found


def main() -> int:
    """Exit code 0 only when every key is there."""
    asked = options("load")
    report = Report("load", asked.seed)
    with local_cluster("load") as cluster, aidb.connect(cluster.address, timeout=60) as client:
        before, own = cpu_us(cluster, client), time.process_time()
        started = time.monotonic()
        put_all(client, asked.rounds, asked.seed)
        seconds = time.monotonic() - started
        own = time.process_time() - own
        spent = cpu_us(cluster, client) - before
        spent_settled = settled(cluster, client) - before
        report.rounds = asked.rounds
        report.violations = missing(client, asked.rounds)
    keys = asked.rounds * BATCH
    told = {f"{role}_cpu_us_per_key": round(us / keys, 2) for role, us in sorted(spent.items())}
    told["servers_cpu_us_per_key"] = round(sum(spent.values()) / keys, 2)
    told["servers_cpu_us_per_key_settled"] = round(sum(spent_settled.values()) / keys, 2)
    told["client_cpu_us_per_key"] = round(own * 1e6 / keys, 2)
    print(
        report.last_line(
            keys=keys,
            value_bytes=VALUE_BYTES,
            batch=BATCH,
            seconds=round(seconds, 1),
            keys_per_second=round(keys / seconds),
            **told,
        )
    )
    return report.exit_code(asked.rounds)


if __name__ == "__main__":
    sys.exit(main())
