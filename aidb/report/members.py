"""What members and the coordinator say of themselves: figures, versions, metrics. Those that are silent keep
the others waiting no longer than one deadline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message

from aidb.options import Tls
from aidb.report.scrape import NoMetrics, scrape
from aidb.security.client import calling
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import node_pb2, node_pb2_grpc, storage_pb2, storage_pb2_grpc

_AT_A_TIME = 16


@dataclass(frozen=True, slots=True)
class Said:
    """Of one program. ``problems``: by what was asked for."""

    name: str
    documents: dict[str, Message] = field(default_factory=dict)
    metrics: str | None = None
    problems: dict[str, str] = field(default_factory=dict)


def ask(status: pb.ClusterStatus, tls: Tls | None, seconds: float) -> Iterator[Said]:
    """The coordinator's metrics first, then every member, in the status' order."""
    found: list[pb.MemberStatus] = []
    for shard in status.shards:
        found += [shard.primary] if shard.HasField("primary") else []
        found += shard.replicas
    found += status.routers
    with ThreadPoolExecutor(_AT_A_TIME, "report") as pool:
        coordinator = pool.submit(_coordinator, status, tls, seconds)
        members = [pool.submit(_member, one.member, tls, seconds) for one in found]
        yield coordinator.result()
        for one in members:
            yield one.result()


def _coordinator(status: pb.ClusterStatus, tls: Tls | None, seconds: float) -> Said:
    problems: dict[str, str] = {}
    metrics = _metrics(status.metrics_address, tls, seconds, problems)
    return Said("coordinator", metrics=metrics, problems=problems)


def _member(member: pb.Member, tls: Tls | None, seconds: float) -> Said:
    documents: dict[str, Message] = {}
    problems: dict[str, str] = {}
    with calling(member.address, (("grpc.enable_http_proxy", 0),), tls) as channel:
        storage, node = storage_pb2_grpc.StorageStub(channel), node_pb2_grpc.NodeStub(channel)
        try:
            documents["stats"] = storage.GetStats(storage_pb2.GetStatsRequest(), timeout=seconds)
            documents["info"] = node.GetNodeInfo(node_pb2.GetNodeInfoRequest(), timeout=seconds)
        except grpc.RpcError as error:
            problems["it"] = _why(error)
    metrics = _metrics(member.metrics_address, tls, seconds, problems)
    return Said(member.name, documents, metrics, problems)


def _metrics(address: str, tls: Tls | None, seconds: float, problems: dict[str, str]) -> str | None:
    if not address:
        problems["metrics"] = "it serves none"
        return None
    try:
        return scrape(address, tls, seconds)
    except NoMetrics as error:
        problems["metrics"] = str(error)
        return None


def _why(error: grpc.RpcError) -> str:
    assert isinstance(error, grpc.Call)
    return f"{error.code().name}: {error.details() or 'no more is known'}"


def silent(said: Sequence[Said]) -> Iterator[tuple[str, str]]:
    """Names of those that do not answer, and why."""
    for one in said:
        if "it" in one.problems:
            yield one.name, one.problems["it"]
