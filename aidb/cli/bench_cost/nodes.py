"""Programs of a cluster for the measurement: real processes, in a directory of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc

from aidb.cli.exits import Failure
from aidb.v1 import storage_pb2 as pb
from aidb.v1.node_pb2_grpc import NodeStub
from aidb.v1.storage_pb2_grpc import StorageStub

_PYTHON = (sys.executable, "-P", "-m")
_STOP_SECONDS = 60.0
_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_MESSAGE_BYTES = 64 << 20


@dataclass(slots=True)
class Program:
    """``data``: its directory, where it has one."""

    process: subprocess.Popen[bytes]
    address: str
    data: Path | None

    @classmethod
    def start(cls, arguments: list[str], log: Path, data: Path | None = None) -> Program:
        """Returns when it says that it is ready. Raises Failure."""
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [*_PYTHON, *arguments], stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait()
            raise Failure(f"{arguments[0]} does not start: {log.read_text()[-500:]}")
        return cls(process, json.loads(line)["address"], data)

    @property
    def cpu_us(self) -> int:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_US

    @property
    def disk_bytes(self) -> tuple[int, int]:
        """Of the tables in its directory, and of everything else, as the file system has allocated them;
        every file once.
        """
        found: dict[int, tuple[int, int]] = {}
        if self.data is None:
            return 0, 0
        for path in self.data.rglob("*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                size = status.st_blocks * 512
                found[status.st_ino] = (size, 0) if path.suffix == ".sst" else (0, size)
        return sum(size for size, _ in found.values()), sum(size for _, size in found.values())

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Node:
    """A program that speaks Storage, and a channel to it that goes round every proxy."""

    def __init__(self, program: Program) -> None:
        self.program = program
        options = (("grpc.max_receive_message_length", _MESSAGE_BYTES),)
        self._channel = grpc.insecure_channel(program.address, options=options)
        self.storage = StorageStub(self._channel)
        self.node = NodeStub(self._channel)

    def stats(self) -> pb.GetStatsResponse:
        answer: pb.GetStatsResponse = self.storage.GetStats(pb.GetStatsRequest(), timeout=10)
        return answer

    def disconnect(self) -> None:
        self._channel.close()

    def close(self) -> None:
        """Ends the program, too."""
        self.disconnect()
        self.program.stop()
