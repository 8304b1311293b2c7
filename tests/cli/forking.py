"""Commands as processes that are forked from one that has imported everything: a fraction of the CPU time of
a new interpreter each, and else the same: own pid, directory, environment, standard streams, exit code.

`Forks` is the side of the tests. This module as a program is the other side: it has one thread and no channel
of gRPC, so that forking it is safe. That the installed scripts start is seen in tests/documents.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("aidb", "aidb-admin")
# Of one request: arguments and environment.
MOST_BYTES = 1 << 20


class Forks:
    """Any thread may run commands, several at a time. ``close`` ends the process they come from."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
        self._lock = Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cli.forking", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def run(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        content: bytes = b"",
        timeout: float,
    ) -> subprocess.CompletedProcess[bytes]:
        """Raises subprocess.TimeoutExpired after ``timeout`` seconds; the command is killed then."""
        asked = json.dumps([program, list(arguments), str(directory), dict(environment)])
        read, write = os.pipe()
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as errors,
            open(read, "rb", buffering=0) as told,  # noqa: PTH123
        ):
            given.write(content)
            given.seek(0)
            try:
                with self._lock:
                    socket.send_fds(
                        self._socket,
                        [os.fsencode(asked)],
                        [given.fileno(), out.fileno(), errors.fileno(), write],
                    )
            finally:
                os.close(write)
            pid = int(told.read(16))
            if not select.select([told], [], [], timeout)[0]:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired([program, *arguments], timeout)
            code = int(told.read(16))
            for stream in (out, errors):
                stream.seek(0)
            return subprocess.CompletedProcess([program, *arguments], code, out.read(), errors.read())

    def close(self) -> None:
        self._socket.close()
        self._process.wait(60)


@cache
def forks() -> Forks:
    """Of this process, until its end."""
    started = Forks()
    atexit.register(started.close)
    return started


def _serve(requests: socket.socket) -> None:
    """Returns in the process of each command, and when the tests have ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # watchers are nobody's business
    while True:
        asked, descriptors, _, _ = socket.recv_fds(requests, MOST_BYTES, 4)
        if not asked:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            _watch(asked, descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(asked: bytes, descriptors: list[int]) -> None:
    """Forks the command, in whose process it returns, and tells its pid and how it ended."""
    *streams, tell = descriptors
    if (pid := os.fork()) != 0:
        # A command that stays in the background would otherwise keep them open.
        os.write(tell, b"%-16d" % pid)
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(pid, 0)
        os.write(tell, b"%-16d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(tell)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    program, arguments, directory, environment = json.loads(asked)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program, *arguments]


def _main() -> None:
    # What commands import when they run.
    import aidb.admin.app
    import aidb.cli.app
    import aidb.cli.exporting
    import aidb.cli.importing
    import aidb.cli.keys
    import aidb.cli.status
    import aidb.cli.up
    import aidb.client
    import aidb.commands  # noqa: F401
    from aidb.admin.main import main as administrate
    from aidb.cli.main import main as command
    from aidb.cli.main import run

    # Parsing options imports a lot, too.
    run(["version"])
    _serve(socket.socket(fileno=int(sys.argv[1])))
    if len(sys.argv) > 1 and sys.argv[0] in PROGRAMS:
        (command if sys.argv[0] == "aidb" else administrate)()


if __name__ == "__main__":
    _main()
