"""The loop of `aidb top`: one thread looks, this one draws and reads keys."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from aidb.cli.connection import find_address
from aidb.cli.exits import Exit, Failure
from aidb.cli.top import keys
from aidb.cli.top.board import SORTS, Board, board
from aidb.cli.top.screen import View, screen
from aidb.cli.top.seen import Looker, Seen

# Of a picture, in characters.
_PICTURE = 150
# A screen is drawn again at least so often, so that ages and the time go on.
_REDRAW_SECONDS = 1.0


def top(address: str | None, every: float, timeout: float, once: bool, picture: Path | None) -> None:
    """Until `q`; with ``once`` or ``picture``, after two looks. Raises Failure."""
    looker = Looker(find_address(address), timeout)
    try:
        first = looker.look()
        if once or picture:
            time.sleep(every)
            _print(board(first, looker.look()), picture)
        elif not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise Failure("this is no terminal: ask with --once, or use aidb status", Exit.BAD_INPUT)
        else:
            _Loop(looker, first, every).run()
    finally:
        looker.close()


def _print(shown: Board, picture: Path | None) -> None:
    if picture is None:
        console = Console(highlight=False)
        console.print(screen(shown, View(chosen=-1, width=console.width)))
        return
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=_PICTURE, file=nowhere, force_terminal=True, highlight=False)
        console.print(screen(shown, View(chosen=-1)))
    try:
        console.save_svg(str(picture), title="aidb top")
    except OSError as error:
        raise Failure(f"{picture}: {error.strerror}") from error


class _Loop:
    def __init__(self, looker: Looker, first: Seen, every: float) -> None:
        self._looker = looker
        self._every = every
        self._view = View()
        self._before: Seen | None = None
        self._now = first
        self._problem = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._look, name="top-look", daemon=True)

    def run(self) -> None:
        self._thread.start()
        try:
            with (
                keys.keyboard(),
                Live(screen=True, auto_refresh=False, console=Console(highlight=False)) as live,
            ):
                while True:
                    shown = self._draw()
                    self._view.width = live.console.width
                    live.update(screen(shown, self._view), refresh=True)
                    for key in keys.read(self._wake_read, _REDRAW_SECONDS):
                        if key == "q" or (key == "escape" and self._view.opened is None):
                            return
                        self._pressed(key, shown)
        finally:
            self._stop.set()
            self._thread.join()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _draw(self) -> Board:
        with self._lock:
            before, now, problem = self._before, self._now, self._problem
        self._view.problem = problem
        self._view.age = time.monotonic() - now.at
        return board(before, now, self._view.sort)

    def _pressed(self, key: str, shown: Board) -> None:
        view = self._view
        last = len(shown.shards) - 1
        if key == "o":
            view.sort = SORTS[(SORTS.index(view.sort) + 1) % len(SORTS)]
        elif key == "down":
            view.chosen = min(view.chosen + 1, last)
        elif key == "up":
            view.chosen = max(view.chosen - 1, 0)
        elif key == "p":
            view.paused = not view.paused
        elif key == "escape" or (key == "enter" and view.opened is not None):
            view.opened = None
        elif key == "enter" and 0 <= view.chosen <= last:
            view.opened = shown.shards[view.chosen].status.id

    def _look(self) -> None:
        while not self._stop.wait(self._every):
            if self._view.paused:
                continue
            try:
                seen = self._looker.look()
            except Failure as failure:
                with self._lock:
                    self._problem = str(failure)
            else:
                with self._lock:
                    self._before, self._now, self._problem = self._now, seen, ""
            os.write(self._wake_write, b".")
