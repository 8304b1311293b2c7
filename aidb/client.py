"""The synchronous client."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aidb.commands import Emit, Operation
from aidb.driver import Driver
from aidb.hedging import HedgeCounts
from aidb.interface import BatchResult, Consistency, Durability, Entry, Seconds, Write, WriteBatch
from aidb.operations import Operations, checked_timeout, delete_write, put_write, put_writes, values_of
from aidb.options import Hedge, Pool, ReadBalance, Retry, Tls
from aidb.routing import Routing
from aidb.security.client import Secured
from aidb.sources import is_direct, keyspace_of, parse_addresses

if TYPE_CHECKING:
    from aidb.client_metrics import ClientMetrics


class Client:
    """A cluster, for threads. Made by `aidb.connect`; see `aidb.KeyValue` for what the methods promise.

    All methods are thread-safe. A client does not survive a fork: connect again in the child.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout: Seconds = 10.0,
        consistency: Consistency = "session",
        retry: Retry | None = None,
        pool: Pool | None = None,
        balance: ReadBalance = "rendezvous",
        hedge: Hedge | None = None,
        keyspace: int | None = None,
        token: bytes = b"",
        tls: Tls | None = None,
        direct: bool | None = None,
        metrics: ClientMetrics | None = None,
    ) -> None:
        addresses = parse_addresses(address)
        self._routing = Routing(
            retry=retry,
            pool=pool,
            balance=balance,
            hedge=hedge,
            keyspace=keyspace_of(keyspace),
            token=token,
            through=() if is_direct(direct) else addresses,
        )
        self._operations = Operations(self._routing, checked_timeout(timeout), consistency, metrics)
        secured = Secured.of(tls or Tls.from_environment())
        self._driver = Driver(self._routing, addresses, secured)
        self._finish = weakref.finalize(self, self._driver.close)
        self._driver.connect(self._operations.timeout)

    @property
    def session_token(self) -> bytes:
        """What this client has seen, as opaque bytes for `aidb.connect` or `adopt_token` elsewhere."""
        return self._routing.token.encode()

    @property
    def hedges(self) -> HedgeCounts:
        """How many reads were hedged; all zero without ``hedge``."""
        hedging = self._routing.hedging
        return HedgeCounts() if hedging is None else hedging.counts()

    def adopt_token(self, token: bytes) -> None:
        """From now on, session reads are no older than what ``token``'s session saw.

        Raises:
            TokenInvalid: these bytes are no token.
        """
        self._routing.token.merge(token)

    def get(
        self, key: bytes, *, consistency: Consistency | None = None, timeout: Seconds | None = None
    ) -> bytes | None:
        """See `KeyValue.get`."""
        entry = self._driver.run(self._operations.get_entry(key, consistency, timeout))
        return None if entry is None else entry.value

    def get_entry(
        self, key: bytes, *, consistency: Consistency | None = None, timeout: Seconds | None = None
    ) -> Entry | None:
        """See `KeyValue.get_entry`."""
        return self._driver.run(self._operations.get_entry(key, consistency, timeout))

    def put(
        self,
        key: bytes,
        value: bytes,
        *,
        ttl: Seconds | None = None,
        if_absent: bool = False,
        if_exists: bool = False,
        if_version: int | None = None,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> int:
        """See `KeyValue.put`."""
        write = put_write(key, value, ttl, if_absent, if_exists, if_version)
        return self._driver.run(self._operations.write(write, durability, timeout))

    def delete(
        self,
        key: bytes,
        *,
        if_exists: bool = False,
        if_version: int | None = None,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> int:
        """See `KeyValue.delete`."""
        return self._driver.run(
            self._operations.write(delete_write(key, if_exists, if_version), durability, timeout)
        )

    def get_many(
        self,
        keys: Iterable[bytes],
        *,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> list[bytes | None]:
        """See `KeyValue.get_many`."""
        return values_of(self._driver.run(self._operations.get_entries(keys, consistency, timeout)))

    def get_entries(
        self,
        keys: Iterable[bytes],
        *,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> list[Entry | None]:
        """See `KeyValue.get_entries`."""
        return self._driver.run(self._operations.get_entries(keys, consistency, timeout))

    def put_many(
        self,
        items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]],
        *,
        ttl: Seconds | None = None,
        if_absent: bool = False,
        if_exists: bool = False,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        """See `KeyValue.put_many`."""
        writes = put_writes(items, ttl, if_absent, if_exists)
        return self._driver.run(self._operations.write_many(writes, durability, timeout))

    def delete_many(
        self,
        keys: Iterable[bytes],
        *,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        """See `KeyValue.delete_many`."""
        writes = [delete_write(key) for key in keys]
        return self._driver.run(self._operations.write_many(writes, durability, timeout))

    def write_many(
        self,
        writes: Iterable[Write],
        *,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        """See `KeyValue.write_many`."""
        return self._driver.run(self._operations.write_many(writes, durability, timeout))

    def write_batch(
        self, batch: WriteBatch, *, durability: Durability | None = None, timeout: Seconds | None = None
    ) -> int:
        """See `KeyValue.write_batch`."""
        return self._driver.run(self._operations.write_batch(batch, durability, timeout))

    def scan(
        self,
        *,
        prefix: bytes = b"",
        start: bytes = b"",
        end: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
        reverse: bool = False,
        keys_only: bool = False,
        ordered: bool = False,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> ClientScan:
        """See `KeyValue.scan`."""
        operation = self._operations.scan(
            prefix, start, end, after, limit, reverse, keys_only, ordered, consistency, timeout
        )
        return ClientScan(self, self._driver, operation)

    def stats(self, *, timeout: Seconds | None = None) -> Mapping[str, Any]:
        """Each member's `GetStats` answer by name; ``{"error": ...}`` for one that gives none. With
        ``direct=False`` those of the addresses given.
        """
        return self._driver.run(self._operations.stats(timeout))

    def close(self) -> None:
        """Stop the watcher and close all connections; calls under way fail. Idempotent."""
        self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ClientScan:
    """Entries of a scan, see `KeyValue.scan`. Not for several threads at once."""

    def __init__(self, client: Client, driver: Driver, operation: Operation[None]) -> None:
        self._client = client  # a dropped client closes its connections
        self._driver = driver
        self._operation = operation

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Entry:
        command = next(self._operation)
        while not isinstance(command, Emit):
            command = self._operation.send(self._driver.perform(command))
        return command.entry

    def close(self) -> None:
        """Free what the scan holds on servers; idempotent."""
        self._operation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
