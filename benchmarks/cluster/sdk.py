"""One thread of the Python SDK against a cluster, for `bench-cluster ratios`: what a call costs the client.

Prints one line of JSON with the figures.
"""

from __future__ import annotations

import argparse
import json
import random
import time

import aidb
from aidb.client import Client

BATCH_GET, BATCH_PUT = 64, 100


def operation(client: Client, work: str, keys: int, value: bytes, rng: random.Random) -> int:
    """One of it; the keys it touched."""
    number = rng.randrange(keys - BATCH_PUT)
    key = b"key-%012d"
    if work == "get":
        client.get(key % number)
        return 1
    if work == "put":
        client.put(key % number, value)
        return 1
    if work == "get_many":
        client.get_many([key % (number + step) for step in range(BATCH_GET)])
        return BATCH_GET
    client.put_many([(key % (number + step), value) for step in range(BATCH_PUT)])
    return BATCH_PUT


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--work", choices=("get", "put", "get_many", "put_many"), required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--value-bytes", type=int, required=True)
    asked = parser.parse_args()
    rng = random.Random(1)
    value = rng.randbytes(asked.value_bytes)
    with aidb.connect(asked.address) as client:
        for _ in range(20):
            operation(client, asked.work, asked.keys, value, rng)
        keys, took = 0, []
        cpu, started = time.process_time(), time.monotonic()
        while (now := time.monotonic()) < started + asked.seconds:
            keys += operation(client, asked.work, asked.keys, value, rng)
            took.append(time.monotonic() - now)
        cpu, seconds = time.process_time() - cpu, time.monotonic() - started
    took.sort()
    figures = {
        "operations": len(took),
        "keys": keys,
        "seconds": seconds,
        "cpu_us_per_key": cpu * 1e6 / keys,
        "p50_us": took[len(took) // 2] * 1e6,
        "p99_us": took[len(took) * 99 // 100] * 1e6,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
