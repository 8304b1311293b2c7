"""Loopback ports: which are free, and who holds the others."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from aidb.local.refusal import Refused

# Below the range from which the kernel takes ports for outgoing connections (32768 on): such a connection
# could otherwise sit on a program's port while that program restarts. AIDB_FREE_PORTS takes its place, for
# those who start several clusters at the same time and want no two to choose the same.
FREE_RANGE = range(15_000, 32_000)
_LISTEN = "0A"


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port``.

    Raises:
        Refused: ports like this one are not for this user.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set it too; without it a connection that closed a moment ago would count as busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise Refused(f"port {port} is not for this user: choose one above 1023 with --port") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def free_range() -> range:
    """From which free ports are taken: FIRST-LAST in AIDB_FREE_PORTS, else FREE_RANGE.

    Raises:
        Refused: AIDB_FREE_PORTS is something else.
    """
    text = os.environ.get("AIDB_FREE_PORTS", "")
    if not text:
        return FREE_RANGE
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1024 <= int(first) <= int(last) <= 65_535):
        raise Refused(f"AIDB_FREE_PORTS is FIRST-LAST between 1024 and 65535, not {text!r}")
    return range(int(first), int(last) + 1)


def free_ports(count: int) -> list[int]:
    """``count`` ports in a row that are free now.

    Raises:
        Refused: there are none, or AIDB_FREE_PORTS is no range.
    """
    chosen = free_range()
    if len(chosen) <= count:
        raise Refused(f"AIDB_FREE_PORTS has {len(chosen)} ports, and {count} are wanted in a row")
    for _ in range(200):
        first = random.choice(chosen[: -count or None])
        ports = list(range(first, first + count))
        if all(map(is_free, ports)):
            return ports
    raise Refused(f"found no {count} free ports in a row: name them with --port")


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on ``port`` of the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def require_free(ports: Iterable[tuple[str, int]]) -> None:
    """Raises Refused, naming the first busy port of (program, port) and its holder."""
    for name, port in ports:
        if not is_free(port):
            raise Refused(
                f"port {port} (for {name}) is in use{_holder(port)}: stop that program, or use --port N"
            )


def _holder(port: int) -> str:
    """`` by python (pid 123)`` as far as this user may see it."""
    inodes = _listening_inodes(port)
    if not inodes:
        return ""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            links = {str(entry.readlink()) for entry in (directory / "fd").iterdir()}
            if links & inodes:
                return f" by {(directory / 'comm').read_text().strip()} (pid {directory.name})"
        except OSError:
            continue
    return " by a program of another user"


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, rows):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
