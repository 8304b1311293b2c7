"""AiDb: an elastic key-value cluster. `connect` opens a cluster, `open` an embedded store: both a `KeyValue`.

    with aidb.connect("127.0.0.1:7400") as db:
        db.put(b"greeting", b"hello")
        db.get(b"greeting")

`aidb.aio.connect` is the same for asyncio. Nothing here imports grpc before the first connect.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aidb.errors import (
    AidbError,
    BatchTooLarge,
    Busy,
    ClockSkew,
    Closed,
    ClusterError,
    ClusterUnreachable,
    ConditionFailed,
    Conflict,
    Corruption,
    CrossSlot,
    DeadlineExceeded,
    DirectoryLocked,
    DiskFull,
    ErrorCode,
    Internal,
    InvalidArgument,
    KeyEmpty,
    KeyTooLarge,
    Moved,
    NewerFormat,
    NodeError,
    NoLease,
    NotAStore,
    NotPrimary,
    OpenRefused,
    PermissionDenied,
    Poisoned,
    RegistrationRefused,
    RequestError,
    SecurityError,
    SessionBroken,
    ShardUnavailable,
    ShuttingDown,
    StaleEpoch,
    StaleTerm,
    Stalled,
    Starting,
    TokenInvalid,
    TopologyStale,
    Unauthenticated,
    Unavailable,
    UnknownOutcome,
    Unsupported,
    ValueTooLarge,
    WrongCluster,
)
from aidb.interface import (
    BatchResult,
    Bounded,
    Condition,
    Consistency,
    Durability,
    Entry,
    KeyValue,
    Scan,
    Seconds,
    Write,
    WriteBatch,
    bounded,
)
from aidb.options import Hedge, Pool, ReadBalance, Retry, Tls
from aidb.slots import SLOT_COUNT, slot_of

if TYPE_CHECKING:
    from aidb.client import Client
    from aidb.client_metrics import ClientMetrics

__all__ = [
    "SLOT_COUNT",
    "AidbError",
    "BatchResult",
    "BatchTooLarge",
    "Bounded",
    "Busy",
    "ClockSkew",
    "Closed",
    "ClusterError",
    "ClusterUnreachable",
    "Condition",
    "ConditionFailed",
    "Conflict",
    "Consistency",
    "Corruption",
    "CrossSlot",
    "DeadlineExceeded",
    "DirectoryLocked",
    "DiskFull",
    "Durability",
    "Entry",
    "ErrorCode",
    "Hedge",
    "Internal",
    "InvalidArgument",
    "KeyEmpty",
    "KeyTooLarge",
    "KeyValue",
    "Moved",
    "NewerFormat",
    "NoLease",
    "NodeError",
    "NotAStore",
    "NotPrimary",
    "OpenRefused",
    "PermissionDenied",
    "Poisoned",
    "Pool",
    "ReadBalance",
    "RegistrationRefused",
    "RequestError",
    "Retry",
    "Scan",
    "Seconds",
    "SecurityError",
    "SessionBroken",
    "ShardUnavailable",
    "ShuttingDown",
    "StaleEpoch",
    "StaleTerm",
    "Stalled",
    "Starting",
    "Tls",
    "TokenInvalid",
    "TopologyStale",
    "Unauthenticated",
    "Unavailable",
    "UnknownOutcome",
    "Unsupported",
    "ValueTooLarge",
    "Write",
    "WriteBatch",
    "WrongCluster",
    "bounded",
    "connect",
    "open",
    "slot_of",
]


def connect(
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
) -> Client:
    """Connect to a cluster; returns when its topology is known.

    Args:
        address: host:port of any of its programs, or several separated by commas. Default: ``$AIDB_ADDRESS``,
            else 127.0.0.1:7400.
        timeout: seconds a call may take, retries included, unless it says otherwise.
        consistency: of reads that do not say otherwise.
        retry: backoff and retry budget.
        pool: connections.
        balance: how reads are spread over a shard's cache replicas: "rendezvous" sends a key to the same one,
            so that caches add up, unless that has more than its share of calls in flight; "two_choices",
            "least_loaded", "round_robin" and "random" spread each key over all.
        hedge: a read that takes long goes to a second member too, see `Hedge`. None = never, the default
            here: a blocking call cannot be overtaken, so that each read would cost about half more of this
            process's CPU. `aidb.aio.connect` hedges by default.
        keyspace: a number from 0 to 2^32 - 1; keys of different keyspaces never meet, in scans neither.
            Default: ``$AIDB_KEYSPACE``, else 0.
        token: a `Client.session_token` to go on with: reads are no older than what that session saw.
        tls: certificates and bearer token for a cluster that is secured. Default: ``$AIDB_TLS`` (a
            directory) with ``$AIDB_TOKEN_FILE`` or ``$AIDB_TOKEN``, else none.
        direct: ask the members themselves, at the addresses that the topology names. False = use only the
            addresses given here, which have to be routers' or lead to one, as ``kubectl port-forward`` and
            load balancers do: for clients that cannot reach the members. Default: ``$AIDB_DIRECT`` (``0``
            or ``false``), else True.
        metrics: counts this client's calls for Prometheus: `aidb.client_metrics.ClientMetrics`.

    Raises:
        ClusterUnreachable: no address answers within ``timeout``.
        InvalidArgument: a parameter is out of range.
        TokenInvalid: ``token`` is not one.
    """
    from aidb.client import Client

    return Client(
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


def open(path: str | os.PathLike[str], **options: Any) -> KeyValue:
    """Open the engine embedded in this process: no server, keys in key order, atomic batches over any keys.

    Args:
        path: the store's directory, made when missing.
        options: of the engine, see ``aidb_node``'s documentation.

    Raises:
        OpenRefused: the directory is locked, holds something else or was written by a newer version.
        Unsupported: the engine is not installed.
    """
    from importlib.metadata import entry_points

    for engine in entry_points(group="aidb.engine"):
        store: KeyValue = engine.load()(path, **options)
        return store
    raise Unsupported("the embedded engine is not installed: pip install aidb-node")
