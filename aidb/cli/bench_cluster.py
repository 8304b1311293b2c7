"""`aidb bench put|get`: a closed loop of batches through the client, with the CPU time on both sides."""

from __future__ import annotations

import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aidb.cli import output
from aidb.cli.connection import connected
from aidb.cli.progress import Advance, progress, rate
from aidb.client import Client

_PERCENTILES = (50.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Load:
    """``kind`` is "put" or "get"; ``keys`` in all, ``batch`` in one call, ``threads`` calls at a time."""

    kind: str
    keys: int
    batch: int
    value_size: int
    threads: int
    prefix: str

    def calls(self, thread: int) -> list[range]:
        """The key numbers of each call of a thread."""
        starts = range(thread * self.batch, self.keys, self.threads * self.batch)
        return [range(start, min(start + self.batch, self.keys)) for start in starts]


class _Worker:
    def __init__(self, client: Client, load: Load, advance: Advance, shared: list[int]) -> None:
        self._client = client
        self._load = load
        self._advance = advance
        self._shared = shared
        self.latencies: list[float] = []
        self.missing = 0

    def run(self, thread: int) -> None:
        value = os.urandom(self._load.value_size)
        for numbers in self._load.calls(thread):
            keys = [b"%s%010d" % (output.as_bytes(self._load.prefix), number) for number in numbers]
            started = time.perf_counter()
            if self._load.kind == "put":
                self._client.put_many([(key, value) for key in keys]).raise_for_errors()
            else:
                self.missing += sum(found is None for found in self._client.get_many(keys))
            self.latencies.append(time.perf_counter() - started)
            self._shared[thread] += len(keys)
            done = sum(self._shared)
            self._advance(done, f"{done:,} keys")


def bench(load: Load, address: str | None, timeout: float, as_json: bool) -> None:
    """Run it and print the figures."""
    with connected(address, timeout) as client, progress(f"{load.kind} ", load.keys) as advance:
        shared = [0] * load.threads
        workers = [_Worker(client, load, advance, shared) for _ in range(load.threads)]
        servers = _cpu(client)
        own = _own_cpu()
        started = time.perf_counter()
        with ThreadPoolExecutor(load.threads, thread_name_prefix="bench") as pool:
            for done in [pool.submit(worker.run, thread) for thread, worker in enumerate(workers)]:
                done.result()
        seconds = time.perf_counter() - started
        own = _own_cpu() - own
        after = _cpu(client)
    found = _figures(load, workers, seconds)
    found["client_cpu_us_per_key"] = round(own / load.keys, 3)
    by_role = {role: after[role] - servers.get(role, 0) for role in sorted(after)}
    found["server_cpu_us_per_key"] = {role: round(us / load.keys, 3) for role, us in by_role.items()}
    found["server_cpu_us_per_key"]["total"] = round(sum(by_role.values()) / load.keys, 3)
    if as_json:
        output.document(found)
        return
    servers_told = ", ".join(f"{role} {us}" for role, us in found["server_cpu_us_per_key"].items())
    output.line(f"{load.kind} of {rate(load.keys, seconds, 'keys')} in {seconds:.2f} s")
    output.line(
        f"  calls of {load.batch}, {load.threads} at a time: "
        + ", ".join(f"{name} {value} ms" for name, value in found["latency_ms"].items())
    )
    output.line(f"  CPU us per key: client {found['client_cpu_us_per_key']}, servers: {servers_told}")
    if found["missing"]:
        output.note(f"  {found['missing']:,} keys were not there: run 'aidb bench put' with the same options")


def _figures(load: Load, workers: list[_Worker], seconds: float) -> dict[str, Any]:
    latencies = sorted(latency for worker in workers for latency in worker.latencies)
    return {
        "kind": load.kind,
        "keys": load.keys,
        "batch": load.batch,
        "value_size": load.value_size,
        "threads": load.threads,
        "seconds": round(seconds, 3),
        "keys_per_second": round(load.keys / seconds),
        "latency_ms": {
            **{f"p{percent:g}": round(_at(latencies, percent) * 1000, 3) for percent in _PERCENTILES},
            "max": round(latencies[-1] * 1000, 3),
        },
        "missing": sum(worker.missing for worker in workers),
    }


def _at(ascending: list[float], percent: float) -> float:
    """The smallest value that ``percent`` of all do not exceed."""
    rank = -(-len(ascending) * percent // 100)
    return ascending[max(0, int(rank) - 1)]


def _cpu(client: Client) -> dict[str, int]:
    """CPU time of the servers so far by role, in us."""
    spent: dict[str, int] = {}
    for stats in client.stats().values():
        if "cpu_us" in stats:
            spent[stats["role"]] = spent.get(stats["role"], 0) + stats["cpu_us"]
    return spent


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6
