"""Who supervises a data directory: the process that holds a lock on `supervisor.lock`, with its pid in it.

The kernel drops the lock when its holder dies, however it dies. Looking takes a shared lock for a moment,
which others that look share; a supervisor that starts at that moment tries again.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_TRIES = 50
_PAUSE = 0.02


def acquire(path: Path) -> int | None:
    """Take the lock for life; None when another supervisor has it. Never close the descriptor returned."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
            continue
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor
    os.close(descriptor)
    return None


def holder(path: Path) -> int | None:
    """The pid of the supervisor that holds the lock; None when nobody does. 0 = it has not written it yet."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _supervisor(os.read(descriptor, 32))
    else:
        return None
    finally:
        os.close(descriptor)


def _supervisor(content: bytes) -> int:
    """A pid left by an earlier holder may by now be anybody's."""
    try:
        command = Path(f"/proc/{int(content)}/cmdline").read_bytes()
    except (OSError, ValueError):
        return 0
    return int(content) if b"supervisor" in command else 0
