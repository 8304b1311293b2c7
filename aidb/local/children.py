"""Start and stop processes of a local cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from aidb.local.processes import Process, Running, find
from aidb.local.programs import STOP_ORDER, role_of

LOG_LIMIT = 16 << 20
# Seconds between SIGTERM and SIGKILL; nodes take up to 10 for requests in flight.
GRACE = 15.0
_KILL_WAIT = 5.0
_POLL = 0.05


def start(command: Iterable[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that a terminal's Ctrl-C does not reach it.

    Raises:
        OSError: no memory, no space.
    """
    log.parent.mkdir(exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as out:
        return subprocess.Popen(
            tuple(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def bound_log(log: Path) -> None:
    """Keep the newest part of a log that outgrew its limit aside; its writer appends, so it may be cut in
    place.
    """
    try:
        if log.stat().st_size > LOG_LIMIT:
            log.with_suffix(".log.1").write_bytes(log.read_bytes()[-LOG_LIMIT:])
            os.truncate(log, 0)
    except OSError:
        return


def stop_in_order(cluster_uid: str, grace: float = GRACE) -> int:
    """Stop every process that carries the cluster's mark, whoever started it; returns how many there were."""
    found = find(cluster_uid)
    for role in STOP_ORDER:
        stop([running.process for running in found if role_of(running.name) == role], grace)
    return len(found)


def stop(processes: list[Process], grace: float = GRACE) -> None:
    """Ask all to end, and end those that have not after ``grace`` seconds."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _KILL_WAIT)):
        for process in processes:
            process.signal(number)
            if number == signal.SIGTERM:
                # A stopped process would not notice.
                process.signal(signal.SIGCONT)
        deadline = time.monotonic() + patience
        while processes and time.monotonic() < deadline:
            time.sleep(_POLL)
            processes = [process for process in processes if process.alive]


def last_words(log: Path) -> str:
    """The last line of a program's log, or nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:500] if lines else ""


def names(running: Iterable[Running]) -> set[str]:
    """Of the programs found."""
    return {found.name for found in running}
