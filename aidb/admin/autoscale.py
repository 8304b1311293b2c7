"""`autoscale --recommend`: how many shards and replicas the coordinator would have, and why."""

from __future__ import annotations

from typing import Any

from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.v1 import cluster_pb2 as pb


def recommend(address: str | None, how: Output, timeout: float) -> int:
    """Raises Failure, also when the coordinator makes no decisions."""
    coordinator = find_address(address)
    with coordination(coordinator) as stub:
        answer: pb.GetScalingResponse = stub.GetScaling(pb.GetScalingRequest(), timeout=timeout)
    if answer.mode == "off":
        raise Failure(
            f"the coordinator at {coordinator} makes no decisions: it was started with --autoscale off",
            Exit.BAD_INPUT,
        )
    if not answer.HasField("shards"):
        raise Failure(
            f"the coordinator at {coordinator} has no metrics yet: ask again in {answer.interval_ms} ms",
            Exit.UNAVAILABLE,
        )
    if how is Output.JSON:
        output.document(document(answer))
        return int(Exit.OK)
    known, age = answer.known_ms / 1000, answer.age_ms / 1000
    output.line(f"{answer.samples} samples of {known:.0f} s, the newest {age:.0f} s old; nothing is applied")
    rows = [_row("shards", answer.shards)]
    rows += [_row(f"replicas of shard {one.shard}", one.scale) for one in answer.replicas]
    output.table(("NUMBER", "IS", "ASKED", "WANTED", "REASONS"), rows)
    return int(Exit.OK)


def document(answer: pb.GetScalingResponse) -> dict[str, Any]:
    """What ``-o json`` prints."""
    return {
        "mode": answer.mode,
        "interval_ms": answer.interval_ms,
        "samples": answer.samples,
        "known_ms": answer.known_ms,
        "age_ms": answer.age_ms,
        "shards": _scale(answer.shards),
        "replicas": [{"shard": one.shard, **_scale(one.scale)} for one in answer.replicas],
    }


def _scale(scale: pb.Scale) -> dict[str, Any]:
    return {
        "current": scale.current,
        "asked": scale.asked,
        "wanted": scale.wanted,
        "reasons": list(scale.reasons),
    }


def _row(name: str, scale: pb.Scale) -> list[str]:
    return [name, str(scale.current), str(scale.asked), str(scale.wanted), "; ".join(scale.reasons)]
