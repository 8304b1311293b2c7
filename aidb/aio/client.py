"""The asyncio client."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aidb.aio.driver import AsyncDriver
from aidb.commands import Emit, Operation
from aidb.errors import Closed
from aidb.hedging import HedgeCounts
from aidb.interface import BatchResult, Consistency, Durability, Entry, Seconds, Write, WriteBatch
from aidb.operations import Operations, checked_timeout, delete_write, put_write, put_writes, values_of
from aidb.options import Hedge, Pool, ReadBalance, Retry, Tls
from aidb.routing import Routing
from aidb.security.client import Secured
from aidb.sources import is_direct, keyspace_of, parse_addresses

if TYPE_CHECKING:
    from aidb.client_metrics import ClientMetrics


class AsyncClient:
    """A cluster, for asyncio. Made by `aidb.aio.connect`; see `aidb.KeyValue` for what the methods promise.

    Belongs to the event loop that it is awaited or entered in.
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
        self._addresses = parse_addresses(address)
        self._routing = Routing(
            retry=retry,
            pool=pool,
            balance=balance,
            hedge=hedge,
            keyspace=keyspace_of(keyspace),
            token=token,
            through=() if is_direct(direct) else self._addresses,
        )
        self._operations = Operations(self._routing, checked_timeout(timeout), consistency, metrics)
        self._tls = tls or Tls.from_environment()
        self._driver: AsyncDriver | None = None

    async def _connect(self) -> Self:
        if self._driver is None:
            self._driver = AsyncDriver(self._routing, self._addresses, Secured.of(self._tls))
        await self._driver.connect(self._operations.timeout)
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._connect().__await__()

    async def __aenter__(self) -> Self:
        return await self._connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

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

    async def get(
        self, key: bytes, *, consistency: Consistency | None = None, timeout: Seconds | None = None
    ) -> bytes | None:
        """See `KeyValue.get`."""
        entry = await self._started().run(self._operations.get_entry(key, consistency, timeout))
        return None if entry is None else entry.value

    async def get_entry(
        self, key: bytes, *, consistency: Consistency | None = None, timeout: Seconds | None = None
    ) -> Entry | None:
        """See `KeyValue.get_entry`."""
        return await self._started().run(self._operations.get_entry(key, consistency, timeout))

    async def put(
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
        return await self._started().run(self._operations.write(write, durability, timeout))

    async def delete(
        self,
        key: bytes,
        *,
        if_exists: bool = False,
        if_version: int | None = None,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> int:
        """See `KeyValue.delete`."""
        return await self._started().run(
            self._operations.write(delete_write(key, if_exists, if_version), durability, timeout)
        )

    async def get_many(
        self,
        keys: Iterable[bytes],
        *,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> list[bytes | None]:
        """See `KeyValue.get_many`."""
        return values_of(await self._started().run(self._operations.get_entries(keys, consistency, timeout)))

    async def get_entries(
        self,
        keys: Iterable[bytes],
        *,
        consistency: Consistency | None = None,
        timeout: Seconds | None = None,
    ) -> list[Entry | None]:
        """See `KeyValue.get_entries`."""
        return await self._started().run(self._operations.get_entries(keys, consistency, timeout))

    async def put_many(
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
        return await self._started().run(self._operations.write_many(writes, durability, timeout))

    async def delete_many(
        self,
        keys: Iterable[bytes],
        *,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        """See `KeyValue.delete_many`."""
        writes = [delete_write(key) for key in keys]
        return await self._started().run(self._operations.write_many(writes, durability, timeout))

    async def write_many(
        self,
        writes: Iterable[Write],
        *,
        durability: Durability | None = None,
        timeout: Seconds | None = None,
    ) -> BatchResult:
        """See `KeyValue.write_many`."""
        return await self._started().run(self._operations.write_many(writes, durability, timeout))

    async def write_batch(
        self, batch: WriteBatch, *, durability: Durability | None = None, timeout: Seconds | None = None
    ) -> int:
        """See `KeyValue.write_batch`."""
        return await self._started().run(self._operations.write_batch(batch, durability, timeout))

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
    ) -> AsyncScan:
        """See `KeyValue.scan`."""
        operation = self._operations.scan(
            prefix, start, end, after, limit, reverse, keys_only, ordered, consistency, timeout
        )
        return AsyncScan(self._started(), operation)

    async def stats(self, *, timeout: Seconds | None = None) -> Mapping[str, Any]:
        """Each member's `GetStats` answer by name; ``{"error": ...}`` for one that gives none. With
        ``direct=False`` those of the addresses given.
        """
        return await self._started().run(self._operations.stats(timeout))

    async def close(self) -> None:
        """Stop the watcher and close all connections; calls under way fail. Idempotent."""
        if self._driver is not None:
            await self._driver.close()

    def _started(self) -> AsyncDriver:
        if self._driver is None:
            raise Closed("await the client, or enter it, before use")
        return self._driver


class AsyncScan:
    """Entries of a scan, see `KeyValue.scan`. Not for several tasks at once."""

    def __init__(self, driver: AsyncDriver, operation: Operation[None]) -> None:
        self._driver = driver
        self._operation = operation

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        try:
            command = next(self._operation)
            while not isinstance(command, Emit):
                command = self._operation.send(await self._driver.perform(command))
        except StopIteration:
            raise StopAsyncIteration from None
        except BaseException:
            self._operation.close()
            raise
        return command.entry

    async def close(self) -> None:
        """Free what the scan holds on servers; idempotent."""
        self._operation.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._operation.close()
