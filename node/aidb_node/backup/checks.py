"""Checks of the second copy, on schedules: `verify` reads every object that a restore may need; `drill`
restores the newest state to scratch and compares it with this primary at one LSN.

When each was made last is kept in `checks.json` beside the store, so that restarts put none off. One runs
at a time.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from aidb.durability.catalog import Catalog
from aidb.durability.verification import Verified, verify
from aidb.errors import AidbError
from aidb.local.layout import write_atomically
from aidb.objects.errors import ObjectError, Unavailable
from aidb_node.backup.primary import Primary
from aidb_node.backup.snapshots import Stopped
from aidb_node.logs import Log
from aidb_node.recovery.drill import drill

SCRATCH = "drill"
FILE = "checks.json"
# A check that could not be made is tried again after so many seconds, or at its next time if that is sooner.
_AGAIN = 600.0
# How long a drill waits for the archive to have what the checkpoint shows.
_ARCHIVE_SECONDS = 300.0
# Objects at a time: a check is in nobody's way.
_AT_ONCE = 2

Kind = Literal["verify", "drill"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(slots=True)
class Check:
    """What is said of one kind. ``at_ms``: when the newest ended that could be made, since 1970."""

    ended: int = 0
    running: bool = False
    at_ms: int = 0
    problem: str = ""
    lsn: int = 0
    bytes: int = 0
    took_ms: int = 0


class Checks:
    """`run` in a thread of its own until ``stop`` is set. ``every``: seconds, 0 = never. ``archived``: the
    LSN through which the log is archived. ``changed`` is called when there is something new to say.
    """

    def __init__(
        self,
        catalog: Catalog,
        primary: Primary,
        directory: Path,
        every: dict[Kind, float],
        *,
        archived: Callable[[], int],
        said: dict[Kind, Check],
        changed: Callable[[], None],
        log: Log,
        stop: threading.Event,
    ) -> None:
        self._catalog = catalog
        self._primary = primary
        self._directory = directory
        self._every = every
        self._archived = archived
        self._said = said
        self._changed = changed
        self._log = log
        self._stop = stop
        shutil.rmtree(directory / SCRATCH, ignore_errors=True)

    def run(self) -> None:
        began = self._recall()
        again = dict.fromkeys(KINDS, 0.0)
        while not self._stop.is_set():
            now = time.time()
            due = {kind: began[kind] + every for kind, every in self._every.items() if every > 0}
            kind = min(due, key=lambda one: max(due[one], again[one]), default=None)
            if kind is None:
                return
            pause = max(due[kind], again[kind]) - now
            if pause > 0:
                # A clock that was set may have made the pause wrong: it is looked at now and then.
                self._stop.wait(min(pause, 60.0))
                continue
            if self._make(kind):
                began[kind] = now
                self._remember(began)
            else:
                again[kind] = time.time() + min(_AGAIN, self._every[kind])

    def _make(self, kind: Kind) -> bool:
        """Whether it could be made; what it found is said."""
        said = self._said[kind]
        said.running = True
        self._changed()
        begin = time.monotonic()
        made = False
        try:
            said.problem, said.lsn, said.bytes = self._verify() if kind == "verify" else self._drill()
            said.at_ms = time.time_ns() // 1_000_000
            made = True
        except Stopped:
            return False
        except (ObjectError, AidbError, OSError) as error:
            said.problem = f"it could not be made: {error}"
        finally:
            said.running = False
            said.took_ms = int((time.monotonic() - begin) * 1000)
        said.ended += 1
        self._changed()
        tell = self._log.error if made else self._log.warning
        if said.problem:
            tell(f"{kind} of the second copy", problem=said.problem)
        else:
            self._log.info(f"{kind} of the second copy: all is well", lsn=said.lsn, bytes=said.bytes)
        return made

    def _verify(self) -> tuple[str, int, int]:
        def seen(_: Verified) -> None:
            self._end_if_asked()

        found = verify(self._catalog, _AT_ONCE, seen)
        problem = ""
        if found.problems:
            first = found.problems[0]
            problem = f"{len(found.problems)} objects are damaged (the first: {first.object}: {first.what})"
        return problem, found.chain_to or 0, found.table_bytes + found.log_bytes

    def _drill(self) -> tuple[str, int, int]:
        scratch = self._directory / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            lsn, _, _, _ = self._primary.checkpoint(str(scratch / "source"))
            self._wait_until_archived(lsn)

            def seen(_what: str, _done: int, _total: int) -> None:
                self._end_if_asked()

            done = drill(
                self._catalog, scratch / "source", lsn, scratch / "copy", at_once=_AT_ONCE, seen=seen
            )
            return done.problem, lsn, done.downloaded_bytes + done.log_bytes
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _wait_until_archived(self, lsn: int) -> None:
        ends = time.monotonic() + _ARCHIVE_SECONDS
        while self._archived() < lsn:
            if time.monotonic() > ends:
                raise Unavailable(f"lsn {lsn} was not archived in {_ARCHIVE_SECONDS:.0f} s")
            if self._stop.wait(0.1):
                raise Stopped

    def _end_if_asked(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _recall(self) -> dict[Kind, float]:
        """When each was begun last, in seconds since 1970; a schedule that is new begins now. What was found
        then is said again.
        """
        began = dict.fromkeys(KINDS, time.time())
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            known = json.loads((self._directory / FILE).read_bytes())
            for kind in KINDS:
                began[kind] = min(began[kind], float(known[kind]["began"]))
                said, found = self._said[kind], known[kind]["found"]
                said.at_ms, said.problem = int(found["at_ms"]), str(found["problem"])
                said.lsn, said.bytes = int(found["lsn"]), int(found["bytes"])
                said.took_ms = int(found["took_ms"])
        self._remember(began)
        self._changed()
        return began

    def _remember(self, began: dict[Kind, float]) -> None:
        """Losing it only puts a check off."""
        known = {kind: {"began": began[kind], "found": asdict(self._said[kind])} for kind in KINDS}
        with contextlib.suppress(OSError):
            write_atomically(self._directory / FILE, json.dumps(known).encode(), durable=False)
