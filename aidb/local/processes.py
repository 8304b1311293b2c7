"""The process table as the record of what runs.

Each program carries `AIDB_LOCAL_MEMBER=<cluster uid>/<name>` in its environment. Looking for that finds the
programs of a cluster whoever started them, and nothing else: a pid file could name a stranger that got the
pid later, or lack a program whose supervisor died between the start and the note. A process is named by pid
and start time, and signalled through a pidfd that is checked after it was opened, so that a reused pid is
never hit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKER = "AIDB_LOCAL_MEMBER"


@dataclass(frozen=True, slots=True)
class Process:
    """``started`` in clock ticks since the machine booted."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """None when there is no such process, or only its exit status is left."""
        try:
            content = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        # The second field, the name in parentheses, may itself hold blanks and parentheses.
        fields = content[content.rindex(b")") + 2 :].split()
        return None if fields[0] in (b"Z", b"X") else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send it, unless the process is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class Running:
    """A program of the cluster that was found."""

    name: str
    process: Process
    command: tuple[str, ...]


def marked(cluster_uid: str, name: str) -> dict[str, str]:
    """The environment for a program."""
    return {**os.environ, MARKER: f"{cluster_uid}/{name}"}


def find(cluster_uid: str) -> list[Running]:
    """Every process of this user that carries the cluster's mark, oldest first."""
    return sorted(_find(cluster_uid), key=lambda found: (found.process.started, found.process.pid))


def _find(cluster_uid: str) -> Iterator[Running]:
    mark = f"{MARKER}={cluster_uid}/".encode()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            environment = (directory / "environ").read_bytes()
            if mark not in environment:
                continue
            command = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        process = Process.of(int(directory.name))
        name = next((v for v in environment.split(b"\0") if v.startswith(mark)), mark)[len(mark) :].decode()
        if process is not None and name:
            yield Running(name, process, tuple(os.fsdecode(command).split("\0")[:-1]))
