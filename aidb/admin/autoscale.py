"""`autoscale`: how many shards and replicas there should be, and why; mode and settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.v1 import cluster_pb2 as pb


def show(address: str | None, how: Output, timeout: float, *, settings: bool) -> int:
    """The decision, or with ``settings`` what it goes by. Raises Failure, also when there is no decision."""
    coordinator = find_address(address)
    with coordination(coordinator) as stub:
        answer: pb.GetScalingResponse = stub.GetScaling(pb.GetScalingRequest(), timeout=timeout)
    if settings:
        return _show_settings(answer, how)
    if answer.mode == "off":
        raise Failure(
            f"the autoscaler of {coordinator} is off: aidb-admin autoscale --mode recommend", Exit.BAD_INPUT
        )
    if not answer.HasField("shards"):
        raise Failure(
            f"the coordinator at {coordinator} has no metrics yet: ask again in {answer.interval_ms} ms",
            Exit.UNAVAILABLE,
        )
    return _show(answer, how)


def configure(
    address: str | None,
    mode: str | None,
    assignments: Sequence[str],
    unset: Sequence[str],
    how: Output,
    timeout: float,
) -> int:
    """Sets the mode, and settings given as ``NAME=VALUE``. Raises Failure."""
    request = pb.SetScalingRequest(mode=mode or "", unset=unset)
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise Failure(f"a setting is NAME=VALUE, not {assignment!r}", Exit.BAD_INPUT)
        request.set[name.strip()] = value.strip()
    with coordination(find_address(address)) as stub:
        answer: pb.GetScalingResponse = stub.SetScaling(request, timeout=timeout)
    if how is Output.JSON:
        output.document(document(answer))
    else:
        changed = ", ".join(f"{name}={answer.settings.get(name, 'none')}" for name in answer.set)
        output.line(f"mode {answer.mode}" + (f", not by default: {changed}" if changed else ""))
    return int(Exit.OK)


def document(answer: pb.GetScalingResponse) -> dict[str, Any]:
    """What ``-o json`` prints."""
    return {
        "mode": answer.mode,
        "interval_ms": answer.interval_ms,
        "samples": answer.samples,
        "known_ms": answer.known_ms,
        "age_ms": answer.age_ms,
        "shards": _scale(answer.shards) if answer.HasField("shards") else None,
        "replicas": [{"shard": one.shard, **_scale(one.scale)} for one in answer.replicas],
        "next": answer.next,
        "held": answer.held,
        "steps": [step_document(step) for step in answer.steps],
        "settings": dict(sorted(answer.settings.items())),
        "set": list(answer.set),
    }


def step_document(step: pb.ScalingStep) -> dict[str, Any]:
    """Of what was begun."""
    return {
        "at_ms": step.at_ms,
        "what": step.what,
        "operation": step.operation,
        "reasons": list(step.reasons),
    }


def _show(answer: pb.GetScalingResponse, how: Output) -> int:
    if how is Output.JSON:
        output.document(document(answer))
        return int(Exit.OK)
    known, age = answer.known_ms / 1000, answer.age_ms / 1000
    output.line(
        f"mode {answer.mode}, {answer.samples} samples of {known:.0f} s, the newest {age:.0f} s old"
        + (f"; next: {answer.next}" if answer.next else "")
        + (f" ({answer.held})" if answer.held else "")
    )
    rows = [_row("shards", answer.shards)]
    rows += [_row(f"replicas of shard {one.shard}", one.scale) for one in answer.replicas]
    output.table(("NUMBER", "IS", "ASKED", "WANTED", "REASONS"), rows)
    if answer.steps:
        output.line("")
        begun = [(step.operation, step.what, "; ".join(step.reasons)) for step in answer.steps]
        output.table(("OPERATION", "BEGUN", "REASONS"), begun)
    return int(Exit.OK)


def _show_settings(answer: pb.GetScalingResponse, how: Output) -> int:
    if how is Output.JSON:
        output.document(document(answer))
        return int(Exit.OK)
    rows = [
        (name, value, "" if name in answer.set else "default")
        for name, value in sorted(answer.settings.items())
    ]
    output.table(("SETTING", "VALUE", ""), rows)
    return int(Exit.OK)


def _scale(scale: pb.Scale) -> dict[str, Any]:
    return {
        "current": scale.current,
        "asked": scale.asked,
        "wanted": scale.wanted,
        "reasons": list(scale.reasons),
    }


def _row(name: str, scale: pb.Scale) -> list[str]:
    return [name, str(scale.current), str(scale.asked), str(scale.wanted), "; ".join(scale.reasons)]
