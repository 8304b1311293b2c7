"""The processes of a lane: a nursery of primaries, and a coordinator."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SECONDS = 60.0


class NodeFailed(Exception):
    """It ended by itself, or did not come up: its log's end is in the message."""


class Nursery:
    """Forks primaries, one at a time. A context manager. ``environment`` says which build."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.evidence.durability.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **environment},
            )
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="nursery", daemon=True)
        self._reader.start()
        self.pid = 0

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(_SECONDS)
        self._reader.join()

    def start(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        objects: str,
        faults: Mapping[str, Any] | None,
        fenced: bool | None,
    ) -> None:
        """Returns when the process is there; `ready` waits until it serves. ``fenced``: whether its store is;
        None = it finds out by itself.
        """
        told = {
            "arguments": arguments,
            "environment": dict(environment),
            "log": str(self._log),
            "objects": objects,
            "faults": faults,
            "fenced": fenced,
        }
        assert self._process.stdin
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        self.pid = self._wait_for("started")["started"]

    def ready(self) -> str:
        """The address. Raises NodeFailed."""
        address: str = self._wait_for("ready")["address"]
        return address

    def kill(self) -> None:
        """Returns when the process is gone. Raises NodeFailed when it ended by itself before."""
        os.kill(self.pid, signal.SIGKILL)
        ended = self._wait_for("ended")
        if ended["code"] != -signal.SIGKILL:
            raise NodeFailed(f"it ended with {ended['code']} before it was killed: {self._last_words()}")

    def _wait_for(self, what: str) -> dict[str, Any]:
        ends = time.monotonic() + _SECONDS
        while True:
            try:
                said = self._said.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                raise NodeFailed(f"not {what} after {_SECONDS:.0f} s: {self._last_words()}") from None
            if what in said:
                return said
            if "ended" in said:
                raise NodeFailed(f"it ended with {said['code']}: {self._last_words()}")

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self._said.put(json.loads(line))

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return " | ".join(self._log.read_text(errors="replace").splitlines()[-4:])
        return ""
