"""A terminal that a program believes in, and what stands on its screen: a pty, read by a thread, and as much
of a terminal's language as rich speaks.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from pathlib import Path

_SEQUENCE = re.compile(rb"\x1b\[\??[0-9;]*[A-Za-z]|\x1b[()].|\x1b[=>]")


class Terminal:
    """Runs ``command`` in a pty of ``columns`` and ``lines``."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        environment: dict[str, str],
        columns: int = 200,
        lines: int = 50,
    ) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=directory,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(lines)},
            start_new_session=True,
        )
        os.close(theirs)
        self._ours = ours
        self._said = b""
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    @property
    def said(self) -> str:
        """All it wrote, without control sequences."""
        with self._lock:
            return _SEQUENCE.sub(b"", self._said).decode(errors="replace")

    @property
    def screen(self) -> str:
        """What it drew last: rich begins each screen at the top left corner."""
        with self._lock:
            frames = re.split(rb"\x1b\[H|\x1b\[\d+A", self._said)
        whole = [frame for frame in frames if b"quit" in frame]
        return _SEQUENCE.sub(b"", whole[-1]).decode(errors="replace") if whole else ""

    def ends(self, seconds: float = 30.0) -> int:
        """Its exit code."""
        return self.process.wait(timeout=seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._thread.join(timeout=5)
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._ours, 65536)
            except OSError:
                return
            if not read:
                return
            with self._lock:
                self._said = (self._said + read)[-4_000_000:]
