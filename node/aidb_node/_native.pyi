"""The native module: servers hosted in this process, and the embedded store. What waits holds no GIL."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from aidb.errors import AidbError
from aidb.interface import Entry
from aidb_node.config import Common, TokenRow

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
    def kind(
        self,
    ) -> Literal["register_again", "drain", "backup", "hand_over", "act", "notice", "failed"]: ...
    @property
    def grace(self) -> float:
        """Of a drain, in seconds; 0 = the configured one."""

    @property
    def text(self) -> str:
        """Of a notice or a failure; of a backup, its name; of a hand-over, the epoch of who takes over; of
        an act, who asked.
        """

    @property
    def act(self) -> list[str]:
        """Of an act: the method, what it was asked with, and what became of it; else empty."""

class Follower:
    """Of a primary's log. Times in ms."""

    @property
    def name(self) -> str: ...
    @property
    def node(self) -> str:
        """Empty = not known."""

    @property
    def member(self) -> bool:
        """In the topology's set."""

    @property
    def required(self) -> bool:
        """Writes wait for it."""

    @property
    def connected(self) -> bool: ...
    @property
    def behind_ms(self) -> int: ...
    @property
    def away_ms(self) -> int: ...

class TailStatus:
    """What the tail set is decided by."""

    @property
    def mode(self) -> int:
        """The cluster's, by its number in the contracts."""

    @property
    def node(self) -> str: ...
    @property
    def promised_lsn(self) -> int:
        """Everything that was acknowledged lies at or below it."""

    @property
    def covered(self) -> bool:
        """The archive has all that: members may leave."""

    @property
    def followers(self) -> list[Follower]: ...

class PinnedImport:
    """What slots hold at one moment."""

    def digest(self, live_after_ms: int) -> tuple[int, int]:
        """Entries and the sum of their hashes, without those that expire by then. Raises AidbError."""

class Observed:
    """A request that was slow, or of a trace that is sampled. Neither key nor value."""

    @property
    def method(self) -> str: ...
    @property
    def code(self) -> str:
        """OK, the name of an error code, CANCELLED (its client did not wait) or TRANSPORT (gRPC's own)."""

    @property
    def began_unix_ns(self) -> int: ...
    @property
    def duration_ns(self) -> int:
        """To the kernel's tick (1 to 10 ms) where it is not traced and what is slow begins at 50 ms."""

    @property
    def shard(self) -> int | None: ...
    @property
    def client(self) -> int:
        """Of the request's id, as `seq`; 0 = it has none."""

    @property
    def seq(self) -> int: ...
    @property
    def attempt(self) -> int:
        """0 = the first."""

    @property
    def traceparent(self) -> str:
        """As it came; empty = there was none."""

    @property
    def span_id(self) -> str:
        """This program's own part of the trace, 16 hexadecimal digits; empty = it is not traced."""

    @property
    def slow(self) -> bool: ...

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
        archive_lag_bytes: int | None,
        memory_bytes: int,
    ) -> Server:
        """Opens the store below `data`, which locks it, and binds. `archive_lag_bytes` None: nothing is
        archived.

        Raises OpenRefused, StartRefused, NodeError.
        """

    @staticmethod
    def replica(
        common: Common, *, shard: int, cache_bytes: int, update_bytes: int, warm: str, tail_bytes: int
    ) -> Server:
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

    def observed(self, most: int) -> tuple[list[Observed], int]:
        """Slow requests and those of sampled traces that wait to be looked at, the oldest first; and how many
        were dropped since the last call, because more than 1024 waited. Never waits.
        """

    def stats(self) -> bytes:
        """An encoded `GetStatsResponse`."""

    def log_after(self, lsn: int, max_bytes: int) -> _Chunk | None:
        """Synced records after `lsn`, at least one of them; None when there are none. Raises LogGap,
        AidbError.
        """

    def archived(self, lsn: int, bytes: int, epoch: int, first_sent_ns: int) -> None:
        """The archive has the log through `lsn`, of which `bytes` are new to it. `first_sent_ns`: when the
        create in `epoch`'s log was sent (boot time) that succeeded at once (D1), else 0.
        """

    def archive_begins(self, lsn: int) -> None:
        """As the archive of this epoch begins, earlier ones have the log through `lsn`."""

    def await_demand(self, timeout: float) -> bool:
        """Waits at most `timeout` seconds for somebody who waits for what is synced and not archived;
        whether there is one.
        """

    def want_archived(self, lsn: int) -> None:
        """The log through `lsn` is to be archived at once."""

    def end_wait(self) -> None:
        """Ends one wait of `await_demand`, the present one or the next."""

    def tail_status(self) -> TailStatus:
        """What the tail set is decided by (D5)."""

    def set_tail_set(self, members: list[str], timeout: float) -> None:
        """Asks the coordinator for `members` as the tail set (D5); `timeout` in seconds. Raises AidbError."""

    def topology_after(self, version: int, timeout: float) -> bytes | None:
        """An encoded `Topology` that is newer; None: there was none within `timeout` seconds."""

    def refresh(self, version: int, timeout: float) -> bool:
        """Asks for a topology that is at least so new; whether there was one within `timeout` seconds."""

    def occupied_slots(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Which of the ranges of slots (inclusive) hold anything. Raises AidbError."""

    def wipe_slots(self, spans: list[tuple[int, int]]) -> int:
        """Deletes all that the slots hold; the LSN. Raises AidbError, also for slots that are served here."""

    def import_record(self, record: bytes, checksum: int) -> int:
        """Takes what a move's source sent; how many operations. Raises as `wipe_slots`."""

    def gain_slots(self, spans: list[tuple[int, int]], least_lsn: int, least_clock_ms: int) -> int:
        """The import is complete: the LSN, and the clock from now on, are at least so high. Raises as
        `wipe_slots`.
        """

    def pin_slots(self, spans: list[tuple[int, int]]) -> PinnedImport:
        """What the slots hold now."""

    def await_archived(self, lsn: int, timeout: float) -> bool:
        """Waits at most `timeout` seconds until the object store has the log through `lsn`, and has it hurry;
        whether it has, or nothing is archived. Raises AidbError.
        """

    def checkpoint(self, path: str) -> tuple[int, int, int, list[tuple[str, int]]]:
        """In the new directory `path`: LSN, epoch, clock in ms, (name, bytes) of each file."""

    def log_position(self) -> tuple[int, int, int]:
        """Bytes that the archive lacks, synced LSN, clock in ms."""

    def evidence_age_ms(self) -> int:
        """Of the newest evidence of ownership (D1)."""

    def report_durability(self, encoded: bytes) -> None:
        """What `GetStats` says of the second copy: an encoded `DurabilityStats`."""
    def renew(self, *, ca: bytes, certificate: bytes, key: bytes) -> None:
        """Connections from now on use these. Raises ValueError and changes nothing if they cannot."""

    def set_tokens(self, rows: list[TokenRow]) -> None:
        """Calls from now on are judged by these tokens."""

    def quiesce(self, grace: float) -> bool:
        """Lets no more requests in, for ever; True when those inside were answered in `grace` seconds. The
        log can still be archived.
        """

    def stop(self, grace: float) -> bool:
        """Ends the program; True when all requests inside were answered in `grace` seconds. Idempotent."""

# (key, value or None to delete, ttl in ms or 0, "" | "absent" | "exists" | "version", version)
_Write = tuple[bytes, bytes | None, int, str, int]
# (value, version, expiry in ms since 1970 or 0)
_Found = tuple[bytes, int, int]

# Records as the archive keeps them, the LSN before the first, the last LSN, the clocks (ms) of the first
# and the last, how many records, their bytes in the log.
_Chunk = tuple[bytes, int, int, int, int, int, int]

class Scan(Iterator[Entry]):
    """Entries of one snapshot, in order, read in chunks."""

    def __next__(self) -> Entry: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

class LogRecords:
    """A chunk of the log, decoded. It is applied once."""

    def __init__(self, chunk: bytes | memoryview) -> None:
        """A view is one of bytes. Raises Corruption."""

    def deletions(self) -> list[tuple[int, int, int]]:
        """Slots that are deleted as a whole: (LSN, first, last), in order. Empty once they were applied."""

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
        keep_log: bool = False,
    ) -> None:
        """`keep_log`: the log stays until it is `archived`."""
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
    def scan(
        self,
        start: bytes,
        end: bytes,
        after: bytes | None,
        reverse: bool,
        keys_only: bool,
        limit: int | None,
    ) -> Scan: ...
    def stats(self) -> dict[str, object]: ...
    def flush(self) -> None: ...
    def compact(self) -> None: ...
    def checkpoint(self, path: str) -> int: ...
    def log_after(self, lsn: int, max_bytes: int) -> _Chunk | None:
        """As of `Server`."""

    def begin_epoch(self, epoch: int) -> int:
        """Logs the start of a new epoch; the last LSN before it."""

    def apply_log(
        self, records: LogRecords, through_lsn: int, through_clock_ms: int, logged_from_ms: int
    ) -> tuple[int, int, int, bool]:
        """Applies those that are not there yet, up to an LSN and a clock. The store's last LSN and clock,
        records applied, whether the end that was asked for is reached. Raises LogGap when they do not
        continue the log.

        `logged_from_ms`: those with an older clock are not logged. They are lost if the store is not flushed.
        """

    def archived(self, lsn: int) -> None:
        """The archive has the log through `lsn`: of a store that keeps its log, what is before it may go."""

    def position(self) -> tuple[int, int, int]:
        """Epoch, visible LSN, clock in ms."""

    def close(self) -> None: ...

def dump_sst(path: Path, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]: ...
def dump_log(path: Path, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]: ...
def dump_manifest(path: Path, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]: ...
def repair_store(path: Path, apply: bool) -> dict[str, Any]: ...
