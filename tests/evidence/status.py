"""Waiting for what the coordinator says of the cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping

import grpc

from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc


def status(coordinator: str) -> pb.ClusterStatus | None:
    """None = it does not answer."""
    with grpc.insecure_channel(coordinator) as channel:
        try:
            answer: pb.ClusterStatus = rpc.CoordinationStub(channel).GetClusterStatus(
                pb.GetClusterStatusRequest(), timeout=2
            )
        except grpc.RpcError:
            return None
    return answer


def missing(answer: pb.ClusterStatus | None) -> str:
    """What keeps the cluster from being whole, or nothing."""
    if answer is None:
        return "the coordinator does not answer"
    for shard in answer.shards:
        if shard.state != pb.SHARD_RUNNING:
            return f"shard {shard.id} is {pb.ShardState.Name(shard.state)}: {shard.reason}"
        for member in (shard.primary, *shard.replicas):
            if member.state != pb.MEMBER_HEALTHY:
                return f"{member.member.name} is {pb.MemberState.Name(member.state)}: {member.reason}"
    return "" if answer.shards else "there are no shards yet"


def wait_whole(coordinator: str, replicas: int, seconds: float, pids: Mapping[str, int] | None = None) -> str:
    """Waits until every shard runs with that many healthy replicas, and the coordinator has heard from these
    processes; what is missing after ``seconds``, or nothing.
    """
    end = time.monotonic() + seconds
    while True:
        answer = status(coordinator)
        problem = missing(answer) or _unheard(answer, replicas, pids or {})
        if not problem or time.monotonic() > end:
            return problem
        time.sleep(0.05)


def _unheard(answer: pb.ClusterStatus | None, replicas: int, pids: Mapping[str, int]) -> str:
    if answer is None:
        return "the coordinator does not answer"
    if pids and answer.pid != pids["coordinator"]:
        return "the old coordinator answers"
    for shard in answer.shards:
        if len(shard.replicas) < replicas:
            return f"shard {shard.id} has only {len(shard.replicas)} replicas"
        for member in (shard.primary, *shard.replicas):
            if pids and member.pid != pids.get(member.member.name):
                return f"the new {member.member.name} has not been heard of"
    return ""
