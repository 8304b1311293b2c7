"""Which process it is that has connected, over the loopback."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

# linux/sock_diag.h, linux/inet_diag.h
_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST = 1
_ANY = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_INODE_AT = 84


def connected_from(pids: Iterable[int], port: int, to_port: int) -> int:
    """Which of the processes holds the connection from ``port`` to ``to_port``; 0: none of them."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(port, to_port)}
    return next((pid for pid in pids if inodes & _sockets(pid)), 0) if inodes else 0


def _inodes(port: int, to_port: int) -> Iterator[int]:
    """The kernel is asked for that one connection: tables below /proc/net may have thousands of lines, and
    a proxy that is slow to accept has its clients connect again and again. Dual-stack sockets are found too.
    """
    loopback = socket.inet_aton("127.0.0.1") + bytes(12)
    ends = struct.pack(">HH", port, to_port) + loopback + loopback + struct.pack("=III", 0, _ANY, _ANY)
    asked = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, _ANY) + ends
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.send(_HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, _REQUEST, 1, 0) + asked)
            answer = kernel.recv(4096)
    except OSError:  # a kernel without it
        yield from _from_tables(port, to_port)
        return
    if _HEADER.unpack_from(answer)[1] == _BY_FAMILY:
        yield struct.unpack_from("=I", answer, _INODE_AT)[0]


def _from_tables(port: int, to_port: int) -> Iterator[int]:
    for table in ("tcp", "tcp6"):
        for fields in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:]):
            ends = [int(end.rpartition(":")[2], 16) for end in fields[1:3]]
            if ends == [port, to_port]:
                yield int(fields[9])


def _sockets(pid: int) -> set[str]:
    found = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            found.add(os.readlink(entry.path))  # noqa: PTH115
    except OSError:
        return found
    return found
