"""A node as a process of its own, and how its answers are read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc

from aidb.v1 import common_pb2 as common
from aidb.v1 import node_pb2_grpc as node_rpc
from aidb.v1 import storage_pb2 as pb
from aidb.v1 import storage_pb2_grpc as rpc

# A start alone is half a second of CPU time: a minute and more on a machine with thirty others' programs.
ENDS_SECONDS = 120.0


class NodeProcess:
    """`aidb-node` until `stop` or `kill`; its log lies beside the data directory."""

    def __init__(
        self,
        coordinator: str,
        data: Path,
        *arguments: str,
        listen: str = "127.0.0.1:0",
        shard: int = 0,
        role: str = "primary",
        name: str = "",
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "aidb_node", role, "--coordinator", coordinator]
        command += ["--name", name or f"shard-{shard}-{role}", "--listen", listen, *arguments]
        command += ["--shard", str(shard)] if role != "router" else []
        command += ["--data", str(data)] if role == "primary" else []
        self.log = log or data.parent / f"{data.name}.log"
        with self.log.open("a") as errors:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        self.address = ""

    def ready(self) -> NodeProcess:
        """Waits for the line that says so."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"exit {self.process.wait()}: {self.log.read_text()}"
        self.announced: dict[str, Any] = json.loads(line)
        self.connect(self.announced["address"])
        return self

    def connect(self, address: str) -> None:
        self.address = address
        self.channel = grpc.insecure_channel(address)
        self.storage = rpc.StorageStub(self.channel)
        self.node = node_rpc.NodeStub(self.channel)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout=ENDS_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def exit_code(self) -> int:
        return self.process.wait(timeout=ENDS_SECONDS)


def put(node: NodeProcess, key: bytes, value: bytes, **fields: Any) -> pb.PutResponse:
    answer: pb.PutResponse = node.storage.Put(pb.PutRequest(key=key, value=value, **fields), timeout=10)
    return answer


def get(node: NodeProcess, key: bytes, **fields: Any) -> pb.GetResponse:
    answer: pb.GetResponse = node.storage.Get(pb.GetRequest(key=key, **fields), timeout=10)
    return answer


def scan(node: NodeProcess, **fields: Any) -> list[pb.ScanResponse]:
    return list(node.storage.Scan(pb.ScanRequest(**fields), timeout=30))


def refusal(call: Callable[[], object]) -> common.Error:
    """What a call that has to fail is told."""
    try:
        call()
    except grpc.RpcError as error:
        trailers: dict[str, bytes] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
        return common.Error.FromString(trailers.get("aidb-error-bin", b""))
    raise AssertionError("the call did not fail")


def now_ms() -> int:
    return time.time_ns() // 1_000_000
