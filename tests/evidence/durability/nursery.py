"""A process that has everything imported, and forks a node from itself in milliseconds.

Told by lines of JSON on stdin: {"arguments": [...], "environment": {...}, "log": path, "objects": url,
"faults": {...} or null, "fenced": null or what a probe would find}; says on stdout {"started": pid} and
{"ended": pid, "code": n}, and in between what the nodes say there. It ends, and its nodes with it, when stdin
does. It has no threads, so that a fork copies all there is.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aidb_node.__main__ as node
import boto3  # noqa: F401  # takes half a second
from aidb_node.backup import second_copy

from aidb.objects.opening import connect
from aidb.objects.store import ObjectStore
from aidb.objects.unfenced import UnfencedStore
from tests.objects.faults import FaultyStore, Odds


class _Told(FaultyStore):
    """Writes each fault to a file, where it survives a kill; healthy until the time that another says."""

    def __init__(self, store: ObjectStore, said: dict[str, Any]) -> None:
        super().__init__(store, Odds(**said["odds"]), said["seed"])
        self._begin = Path(said["begin"])
        self._told = os.open(said["told"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def _happens(self, what: str, odds: float) -> bool:
        happens = self._begun() and super()._happens(what, odds)
        if happens:
            os.write(self._told, f"{what}\n".encode())
        return happens

    def _begun(self) -> bool:
        try:
            return time.monotonic() >= float(self._begin.read_text())
        except FileNotFoundError:
            return False


def _node(told: dict[str, Any], store: ObjectStore) -> int:
    """The child."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    random.seed()
    os.environ.update(told["environment"])
    opened = _Told(store, told["faults"]) if told["faults"] else store
    setattr(second_copy, "connect", lambda _url: opened)  # noqa: B010
    if told["fenced"] is not None:
        setattr(second_copy, "probed", _fenced if told["fenced"] else _unfenced)  # noqa: B010
    return node.main(told["arguments"])


def _fenced(store: ObjectStore, *_: object) -> ObjectStore:
    return store


def _unfenced(store: ObjectStore, *_: object) -> ObjectStore:
    return UnfencedStore(store)


def _fork(told: dict[str, Any], store: ObjectStore) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = _node(told, store)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _say(**what: int) -> None:
    print(json.dumps(what), flush=True)


def _reap(running: set[int]) -> None:
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            running.remove(pid)
            _say(ended=pid, code=os.waitstatus_to_exitcode(status))


def main() -> int:
    # Clients of stores are costly to make, and have no connections before they are used.
    stores: dict[str, ObjectStore] = {}
    running: set[int] = set()
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    pending = b""
    try:
        while True:
            ready, _, _ = select.select([0, woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
                _reap(running)
            if 0 in ready:
                data = os.read(0, 1 << 16)
                if not data:
                    return 0
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    told = json.loads(line)
                    url = told["objects"]
                    if url not in stores:
                        stores[url] = connect(url)
                    pid = _fork(told, stores[url])
                    running.add(pid)
                    _say(started=pid)
    finally:
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
