"""One look at the cluster: what its coordinator says, and each member of itself.

Members are asked at the same time, and not with `--no-direct`: then they cannot be reached. Each call has a
deadline; a member that does not answer has no figures in this look.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc

from aidb.cli.connection import failure_of, find_tls, is_direct
from aidb.security.client import calling
from aidb.v1 import cluster_pb2 as cluster
from aidb.v1 import storage_pb2 as storage
from aidb.v1.cluster_pb2_grpc import CoordinationStub
from aidb.v1.storage_pb2_grpc import StorageStub

# Members that are asked at a time.
_AT_A_TIME = 16
_CHANNEL = (("grpc.max_reconnect_backoff_ms", 1000), ("grpc.enable_http_proxy", 0))


@dataclass(frozen=True, slots=True)
class Seen:
    """``at``: monotonic seconds. ``stats`` by the members' names."""

    at: float
    status: cluster.ClusterStatus
    operations: tuple[cluster.Operation, ...] = ()
    moves: tuple[cluster.MoveStatus, ...] = ()
    stats: dict[str, storage.GetStatsResponse] = field(default_factory=dict)


def members(status: cluster.ClusterStatus) -> Iterator[cluster.MemberStatus]:
    for shard in status.shards:
        if shard.HasField("primary"):
            yield shard.primary
        yield from shard.replicas
    yield from status.routers


class Looker:
    """Asks the coordinator at ``address``, with ``timeout`` seconds for each answer. `close` it."""

    def __init__(self, address: str, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._direct = is_direct()
        self._channels: dict[str, grpc.Channel] = {}
        self._pool = ThreadPoolExecutor(_AT_A_TIME, "top")

    def look(self) -> Seen:
        """Raises Failure: the coordinator does not answer."""
        coordination = CoordinationStub(self._channel(self._address))
        try:
            status = coordination.GetClusterStatus(cluster.GetClusterStatusRequest(), timeout=self._timeout)
            operations = coordination.ListOperations(cluster.ListOperationsRequest(), timeout=self._timeout)
            moves = coordination.ListMoves(cluster.ListMovesRequest(), timeout=self._timeout)
        except grpc.RpcError as error:
            self._forget(self._address)
            raise failure_of(self._address, error) from error
        at = time.monotonic()
        found = list(members(status)) if self._direct else []
        channels = {one.member.address: self._channel(one.member.address) for one in found}
        self._keep({self._address, *channels})
        answers = self._pool.map(lambda one: self._stats(channels[one.member.address]), found)
        stats = {
            one.member.name: answer for one, answer in zip(found, answers, strict=True) if answer is not None
        }
        return Seen(at, status, tuple(operations.operations), tuple(moves.moves), stats)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._keep(set())

    def _stats(self, channel: grpc.Channel) -> storage.GetStatsResponse | None:
        try:
            answer: storage.GetStatsResponse = StorageStub(channel).GetStats(
                storage.GetStatsRequest(), timeout=self._timeout
            )
            return answer
        except grpc.RpcError:
            return None

    def _channel(self, address: str) -> grpc.Channel:
        if address not in self._channels:
            self._channels[address] = calling(address, _CHANNEL, find_tls(address))
        return self._channels[address]

    def _keep(self, addresses: set[str]) -> None:
        for address in self._channels.keys() - addresses:
            self._forget(address)

    def _forget(self, address: str) -> None:
        """The next call connects anew, with the certificates of then."""
        channel = self._channels.pop(address, None)
        if channel is not None:
            channel.close()
