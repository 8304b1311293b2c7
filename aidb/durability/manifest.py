"""`e<epoch>/manifest/<seq>`: a snapshot. It is created last, so what it names is there.

    header := place, id, name, lsn, clock_ms, store_epoch, at_ms, log, files: [[name, size, sha256], ...]
    body   := the engine's own manifest, byte for byte

``lsn``, ``clock_ms`` and ``store_epoch`` are where the state shown stands in the log. ``log`` = [epoch,
sequence]: what follows ``lsn`` is in pieces of the log from there on; it is missing where nothing is
archived. ``files`` are the SSTs, by their names in a store; the objects are named by their checksums.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aidb.durability.envelope import Header, Kind, Malformed, number, seal, text, unseal
from aidb.durability.identity import Place

# A store's SSTs lie one directory deep: nothing else is ever written by a restore.
_FILE = re.compile(r"[a-z]{1,16}/[0-9A-Za-z_-]{1,64}\.[a-z]{1,8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class File:
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """See the module."""

    place: Place
    id: str
    name: str
    lsn: int
    clock_ms: int
    store_epoch: int
    at_ms: int
    log: tuple[int, int] | None
    files: tuple[File, ...]
    engine: bytes

    @property
    def label(self) -> str:
        """How people name it."""
        return f"e{self.place.epoch}-{self.place.sequence}"

    @property
    def size(self) -> int:
        """Bytes of all its SSTs."""
        return sum(file.size for file in self.files)

    def encode(self) -> bytes:
        header: Header = self.place.header() | {
            "id": self.id,
            "name": self.name,
            "lsn": self.lsn,
            "clock_ms": self.clock_ms,
            "store_epoch": self.store_epoch,
            "at_ms": self.at_ms,
            "files": [[file.name, file.size, file.sha256] for file in self.files],
        }
        if self.log is not None:
            header["log"] = list(self.log)
        return seal(Kind.MANIFEST, header, self.engine)

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Raises Malformed."""
        _, header, body = unseal(data, Kind.MANIFEST)
        return cls(
            place=Place.of(header),
            id=text(header, "id"),
            name=text(header, "name"),
            lsn=number(header, "lsn"),
            clock_ms=number(header, "clock_ms"),
            store_epoch=number(header, "store_epoch"),
            at_ms=number(header, "at_ms"),
            log=_log(header),
            files=_files(header),
            engine=bytes(body),
        )


def parse_label(label: str) -> tuple[int, int] | None:
    """(epoch, sequence) of ``e3-7``."""
    found = re.fullmatch(r"e(\d{1,12})-(\d{1,12})", label)
    return (int(found[1]), int(found[2])) if found else None


def _log(header: Header) -> tuple[int, int] | None:
    found = header.get("log")
    if found is None:
        return None
    if not isinstance(found, list) or len(found) != 2:
        raise Malformed("its log is no pair of numbers")
    pair = {"epoch": found[0], "sequence": found[1]}
    return number(pair, "epoch"), number(pair, "sequence")


def _files(header: Header) -> tuple[File, ...]:
    found = header.get("files")
    if not isinstance(found, list):
        raise Malformed("its files are no list")
    files = []
    for item in found:
        if not isinstance(item, list) or len(item) != 3:
            raise Malformed("one of its files is no triple")
        name, size, sha256 = item
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise Malformed(f"a file called {str(name)[:80]!r} has no place in a store")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise Malformed(f"the checksum of its file {name} is none")
        files.append(File(name, number({"size": size}, "size"), sha256))
    if len({file.name for file in files}) < len(files):
        raise Malformed("it names a file twice")
    return tuple(files)
