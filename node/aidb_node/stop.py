"""How a program is told to end."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Stop:
    """Set by SIGTERM, SIGINT or an administrator; a second signal ends the grace."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.at_once = False

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self.at_once = self.asked.is_set()
        self.asked.set()
