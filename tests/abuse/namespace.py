"""A host of its own on a cable that can be cut: a network namespace and a veth pair. Needs root."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


class Namespace:
    """``here`` and ``there`` are the addresses of the two ends."""

    def __init__(self) -> None:
        self._name = f"aidb{os.getpid()}"
        self._cable, self._far = f"ab{os.getpid()}", f"abf{os.getpid()}"
        net = f"10.213.{os.getpid() % 250}"
        self.here, self.there = f"{net}.1", f"{net}.2"

    @staticmethod
    def why_not() -> str:
        """Why there cannot be one on this machine, or nothing."""
        made = subprocess.run(("unshare", "--net", "ip", "link"), capture_output=True, text=True, check=False)
        return made.stderr.strip() if made.returncode else ""

    def __enter__(self) -> Namespace:
        _ip("netns", "add", self._name)
        try:
            _ip("link", "add", self._cable, "type", "veth", "peer", "name", self._far, "netns", self._name)
            _ip("addr", "add", f"{self.here}/30", "dev", self._cable)
            _ip("link", "set", self._cable, "up")
            _ip("-n", self._name, "addr", "add", f"{self.there}/30", "dev", self._far)
            _ip("-n", self._name, "link", "set", self._far, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # With the cable goes the far end, which the namespace would keep as long as sockets are open in it.
        subprocess.run(("ip", "link", "del", self._cable), check=False, capture_output=True)
        _ip("netns", "del", self._name)

    def cut(self) -> None:
        """The far end is gone without a word: no FIN, no RST, nothing answers any more."""
        _ip("-n", self._name, "link", "set", self._far, "down")

    def mend(self) -> None:
        """The cable is whole again."""
        _ip("-n", self._name, "link", "set", self._far, "up")

    def run(self, work: Callable[[], T]) -> T:
        """``work`` on that host; sockets that it opens stay there."""
        results: list[T] = []
        failures: list[BaseException] = []

        def inside() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with Path("/run/netns", self._name).open() as namespace:
                    if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(work())
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True)
