"""The keyboard, a key at a time."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

_NAMED = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "k": "up",
    "j": "down",
}


@contextmanager
def keyboard() -> Iterator[None]:
    """Without echo and lines, until the end; Ctrl-C stays what it is."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def read(wake: int, seconds: float) -> list[str]:
    """Keys that were pressed; none after ``seconds``, or when ``wake`` (a descriptor) can be read. The end of
    the input is `q`.
    """
    ready, _, _ = select.select([sys.stdin, wake], [], [], seconds)
    if wake in ready:
        os.read(wake, 4096)
    if sys.stdin not in ready:
        return []
    pressed = os.read(sys.stdin.fileno(), 1024).decode(errors="replace")
    return list(_split(pressed)) if pressed else ["q"]


def _split(pressed: str) -> Iterator[str]:
    while pressed:
        known = [name for name in _NAMED if pressed.startswith(name)]
        longest = max(known, key=len, default=pressed[0])
        yield _NAMED.get(longest, longest)
        pressed = pressed[len(longest) :]
