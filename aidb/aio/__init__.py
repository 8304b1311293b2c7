"""AiDb for asyncio: `connect` gives an `AsyncClient`, the methods of `aidb.KeyValue` as coroutines.

    async with aidb.aio.connect("127.0.0.1:7400") as db:
        await db.put(b"greeting", b"hello")
        async for entry in db.scan(prefix=b"g"):
            ...

Every call may be cancelled: its request is cancelled too. A cancelled write may or may not be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aidb.interface import Consistency, Seconds
from aidb.options import Hedge, Pool, ReadBalance, Retry, Tls

if TYPE_CHECKING:
    from aidb.aio.client import AsyncClient
    from aidb.client_metrics import ClientMetrics

__all__ = ["connect"]

_HEDGE = Hedge()


def connect(
    address: str | None = None,
    *,
    timeout: Seconds = 10.0,
    consistency: Consistency = "session",
    retry: Retry | None = None,
    pool: Pool | None = None,
    balance: ReadBalance = "rendezvous",
    hedge: Hedge | None = _HEDGE,
    keyspace: int | None = None,
    token: bytes = b"",
    tls: Tls | None = None,
    direct: bool | None = None,
    metrics: ClientMetrics | None = None,
) -> AsyncClient:
    """A client to be awaited or entered: ``db = await connect()`` or ``async with connect() as db``.

    Parameters and errors are those of `aidb.connect`, except that reads are hedged by default; errors show
    when it is awaited or entered.
    """
    from aidb.aio.client import AsyncClient

    return AsyncClient(
        address,
        timeout=timeout,
        consistency=consistency,
        retry=retry,
        pool=pool,
        balance=balance,
        hedge=hedge,
        keyspace=keyspace,
        token=token,
        tls=tls,
        direct=direct,
        metrics=metrics,
    )
