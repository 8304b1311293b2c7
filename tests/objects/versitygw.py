"""A real S3 server as a process of its own: versitygw, which checks signatures and keeps what it
acknowledged.

It is used where it is installed (`make evidence-objects` installs it); the ordinary tests do without.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.objects.servers import BUCKET

ACCESS, SECRET, REGION = "aidb-test-access", "aidb-test-secret", "us-east-1"
MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
_TOOLS = Path(__file__).resolve().parents[2] / "target" / "tools"
_INSTALL_SECONDS = 900
_START_SECONDS = 30


def find() -> str | None:
    """The program, where it is installed."""
    return shutil.which("versitygw", path=f"{_TOOLS}{os.pathsep}{os.environ.get('PATH', '')}")


def install() -> str:
    """The program, compiled if it is not there. Raises CalledProcessError, TimeoutExpired."""
    found = find()
    if found:
        return found
    environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(_TOOLS)}
    command = ["go", "install", "-trimpath", "-ldflags", "-s -w", MODULE]
    subprocess.run(command, env=environment, check=True, timeout=_INSTALL_SECONDS)
    return str(_TOOLS / "versitygw")


class Server:
    """Serves the directory ``data`` on one port, through any number of `kill`s and `start`s."""

    def __init__(self, program: str, data: Path) -> None:
        self._program = program
        self._data = data
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        (data / BUCKET).mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [self._program, "--access", ACCESS, "--secret", SECRET, "--region", REGION]
        command += ["--port", f"127.0.0.1:{self._port}", "--quiet", "posix", str(self._data)]
        log = self._data.parent / f"{self._data.name}.log"
        with log.open("a") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        ends = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"versitygw does not listen: {log.read_text()[-500:]}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def running(program: str, data: Path) -> Iterator[Server]:
    server = Server(program, data)
    try:
        yield server
    finally:
        server.kill()
