"""What TLS and tokens cost: CPU time of the primary for one unary get, secured and not, in turns.

    python -m benchmarks.security [--gets 20000] [--rounds 5]

Two local clusters of one shard each run side by side; a client keeps 32 gets of a 100-byte value in flight on
one connection to the primary. The servers' CPU time is what `GetStats` says of the process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

import grpc

from aidb.channels import metadata_of, open_channel
from aidb.local.cluster import LocalCluster
from aidb.security.client import Secured
from aidb.v1 import storage_pb2, storage_pb2_grpc

IN_FLIGHT = 32


class Primary:
    """Of a cluster in ``data``, which it starts and stops."""

    def __init__(self, data: Path, *options: str) -> None:
        self._data = data
        self._run("up", "--detach", "--port", "0", "--shards", "1", "--replicas", "0", *options)
        cluster = LocalCluster.existing(data)
        assert cluster is not None
        secured = Secured.of(cluster.tls)
        self._channel = open_channel(cluster.description.address("shard-0-primary"), [], secured)
        self._stub = storage_pb2_grpc.StorageStub(self._channel)
        self._metadata = metadata_of(secured)
        self._stub.Put(storage_pb2.PutRequest(key=b"k", value=b"v" * 100), metadata=self._metadata)

    def cpu_us(self) -> int:
        answer = self._stub.GetStats(storage_pb2.GetStatsRequest(), metadata=self._metadata)
        return int(answer.cpu_us)

    def gets(self, count: int) -> float:
        """The primary's CPU µs for each of ``count`` gets."""
        request = storage_pb2.GetRequest(key=b"k")
        before = self.cpu_us()
        under_way: deque[Any] = deque()
        for _ in range(count):
            if len(under_way) == IN_FLIGHT:
                under_way.popleft().result()
            under_way.append(self._stub.Get.future(request, metadata=self._metadata))
        for call in under_way:
            call.result()
        return (self.cpu_us() - before) / count

    def close(self) -> None:
        self._channel.close()
        self._run("down")

    def _run(self, command: str, *options: str) -> None:
        program = [sys.executable, "-m", "aidb.cli", command, "--data", str(self._data), *options]
        subprocess.run(program, check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gets", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        primaries = {
            "plain": Primary(Path(directory) / "plain"),
            "secured": Primary(Path(directory) / "secured", "--secure"),
        }
        try:
            figures: dict[str, list[float]] = {kind: [] for kind in primaries}
            for _ in range(options.rounds):
                for kind, primary in primaries.items():
                    figures[kind].append(primary.gets(options.gets))
        except grpc.RpcError as error:
            sys.exit(f"a get failed: {error}")
        finally:
            for primary in primaries.values():
                primary.close()
    for kind, found in figures.items():
        each = ", ".join(f"{figure:.1f}" for figure in found)
        print(f"{kind}: {statistics.median(found):.1f} CPU-us a get at the primary ({each})")


if __name__ == "__main__":
    main()
