"""Waking many readers at each change, without a queue for any of them: who is slow finds the newest state."""

from __future__ import annotations

import asyncio


class Signal:
    """Take `next` before reading the state, then wait for it: no change between the two is missed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        return self._event

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()
