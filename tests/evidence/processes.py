"""One program of a test cluster, restarted under the same command line."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class ProgramFailed(Exception):
    """It did not come up: its log's end is in the message."""


class Program:
    """Not running until `start`. Its log gathers what all its lives wrote to stderr."""

    def __init__(
        self, name: str, command: Iterable[str], logs: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._command = [sys.executable, *command]
        self._log = logs / f"{name}.log"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Of its present life; 0 = it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> str:
        """Starts it and waits for the line that says that it serves; returns its address.

        Raises:
            ProgramFailed: it ended, or took too long.
        """
        self.launch()
        return self.wait_ready()

    @property
    def running(self) -> bool:
        """A stopped process counts."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of its present life; None while it runs."""
        return None if self._process is None else self._process.poll()

    def launch(self) -> None:
        """Starts it and waits for nothing."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )

    def wait_ready(self) -> str:
        """As `start`, of a program that was launched."""
        assert self._process
        line = self._ready_line()
        if not line:
            code = self._process.poll()
            self.kill()
            raise ProgramFailed(f"{self.name} did not start (exit {code}): {self.last_words()}")
        address: str = json.loads(line)["address"]
        return address

    def _ready_line(self) -> str:
        assert self._process and self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() if selector.select(START_SECONDS) else ""

    def signal(self, number: Signals) -> None:
        if self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self._end(SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and kill -9 for one that does not end."""
        self.signal(SIGCONT)
        self._end(SIGTERM)

    def _end(self, number: Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._process = None

    def last_words(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])
        return ""


def nap_until(moment: float) -> None:
    """Sleeps until that time of `time.monotonic`: when a fault is due, not a guess that something is done."""
    time.sleep(max(0.0, moment - time.monotonic()))
