"""The native module: servers hosted in this process, and the embedded store. What waits holds no GIL."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from aidb.errors import AidbError
from aidb_node.config import Common

VERSION: str
BUILD_PROFILE: Literal["debug", "release"]

class Grant:
    """What the coordinator granted."""

    @property
    def cluster_uid(self) -> str: ...
    @property
    def term(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def lease_seconds(self) -> float: ...

class Event:
    """What the native side has to say."""

    @property
    def kind(self) -> Literal["register_again", "drain", "notice", "failed"]: ...
    @property
    def grace(self) -> float:
        """Of a drain, in seconds; 0 = the configured one."""

    @property
    def text(self) -> str:
        """Of a notice or a failure."""

class Server:
    """A primary, replica or router. It answers from its construction on: STARTING until `begin`."""

    @staticmethod
    def primary(
        common: Common,
        *,
        shard: int,
        data: str,
        disk_id: str,
        sync: str,
        cache_bytes: int,
        memtable_bytes: int,
        memory_bytes: int,
    ) -> Server:
        """Opens the store below `data`, which locks it, and binds.

        Raises OpenRefused, StartRefused, NodeError.
        """

    @staticmethod
    def replica(common: Common, *, shard: int, cache_bytes: int, update_bytes: int, warm: str) -> Server:
        """Raises StartRefused."""

    @staticmethod
    def router(common: Common, *, hedge_extra: float) -> Server:
        """Raises StartRefused."""

    @property
    def address(self) -> str: ...
    def disk_position(self) -> tuple[int, int]:
        """Last epoch on the disk and the end of its log; (0, 0) for roles without a disk."""

    def register(
        self, *, cluster_uid: str, disk_epoch: int, pending_epoch: int, last_lsn: int, timeout: float
    ) -> Grant:
        """Asks the coordinator once; `timeout` in seconds. Raises AidbError."""

    def begin(self, grant: Grant) -> None:
        """Serves by the grant. Raises AidbError."""

    def wait(self, timeout: float) -> Event | None:
        """The next event, None when there is none within `timeout` seconds."""

    def stats(self) -> bytes:
        """An encoded `GetStatsResponse`."""

    def renew(self, *, ca: bytes, certificate: bytes, key: bytes) -> None:
        """Connections from now on use these. Raises ValueError and changes nothing if they cannot."""

    def set_tokens(self, rows: list[tuple[bytes, int, int]]) -> None:
        """Calls from now on are judged by these tokens."""

    def stop(self, grace: float) -> bool:
        """Ends the program; True when all requests inside were answered in `grace` seconds. Idempotent."""

# (key, value or None to delete, ttl in ms or 0, "" | "absent" | "exists" | "version", version)
_Write = tuple[bytes, bytes | None, int, str, int]
# (value, version, expiry in ms since 1970 or 0)
_Found = tuple[bytes, int, int]

class Scan:
    """Entries of one snapshot, in order."""

    def take(self, count: int, size: int) -> list[tuple[bytes, bytes, int, float | None]]:
        """The next entries, at most `count` of about `size` bytes; empty at the end."""

    def close(self) -> None: ...

class Store:
    """The engine on raw keys. All methods raise AidbError."""

    def __init__(
        self,
        path: str,
        *,
        create: bool,
        sync: str,
        cache_bytes: int,
        memtable_bytes: int,
        compression: str,
    ) -> None: ...
    def get(self, key: bytes) -> bytes | None: ...
    def get_entry(self, key: bytes) -> _Found | None: ...
    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def get_entries(self, keys: Sequence[bytes]) -> list[_Found | None]: ...
    def put_all(self, items: Sequence[tuple[bytes, bytes]], ttl_ms: int) -> int:
        """Puts independent items; the version of all of them. A bad item refuses all."""

    def put(self, key: bytes, value: bytes, ttl_ms: int) -> int: ...
    def write_one(self, write: _Write) -> int: ...
    def write_many(self, writes: Sequence[_Write]) -> list[tuple[int, AidbError | None]]: ...
    def write_atomic(self, writes: Sequence[_Write]) -> int: ...
    def scan(self, start: bytes, end: bytes, after: bytes | None, reverse: bool, keys_only: bool) -> Scan: ...
    def stats(self) -> dict[str, object]: ...
    def flush(self) -> None: ...
    def compact(self) -> None: ...
    def checkpoint(self, path: str) -> int: ...
    def close(self) -> None: ...

def dump_sst(path: Path, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]: ...
def dump_log(path: Path, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]: ...
def dump_manifest(path: Path, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]: ...
def repair_store(path: Path, apply: bool) -> dict[str, Any]: ...
