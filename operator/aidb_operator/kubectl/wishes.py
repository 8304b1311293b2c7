"""What is changed of an AidbCluster: annotations, counts, hibernation. Functions raise Failure."""

from __future__ import annotations

from typing import Any

from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb_operator import names
from aidb_operator.kubectl.place import Place
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import Names
from aidb_operator.plan import fences


def pause(place: Place, name: str | None, how: Output, *, paused: bool) -> None:
    cluster = place.cluster(name)
    _annotate(place, cluster, names.PAUSED, "true" if paused else None)
    _say(how, cluster, "paused" if paused else "not paused", {"paused": paused})


def hibernate(place: Place, name: str | None, how: Output, *, asleep: bool) -> None:
    cluster = place.cluster(name)
    place.patch(kinds.CLUSTER, cluster["metadata"]["name"], {"spec": {"hibernate": asleep}})
    what = "hibernates: its pods stop, its data stays" if asleep else "is resumed"
    _say(how, cluster, what, {"hibernate": asleep})


def fence(place: Place, name: str | None, shards: list[int], how: Output, *, on: bool) -> None:
    """No shards: all of them."""
    cluster = place.cluster(name)
    own = cluster["metadata"]["name"]
    text = (cluster["metadata"].get("annotations") or {}).get(names.FENCED, "")
    known = [one["spec"]["shard"] for one in place.all(kinds.SHARD_GROUP) if one["spec"]["cluster"] == own]
    if strangers := set(shards) - set(known):
        raise Failure(f"{own} has no shard {min(strangers)}", Exit.BAD_INPUT)
    try:
        before = fences.fenced(text, known)
    except ValueError as error:
        raise Failure(f"annotation {names.FENCED} is {text!r}: {error}", Exit.BAD_INPUT) from error
    chosen = frozenset(shards or known)
    after = sorted(before | chosen if on else before - chosen)
    listed = ",".join(map(str, after))
    _annotate(place, cluster, names.FENCED, listed or None)
    _say(how, cluster, f"fenced shards: {listed or 'none'}", {"fenced": after})


def scale(
    place: Place, name: str | None, how: Output, counts: dict[str, int | None], shard: int | None
) -> None:
    """`counts` of shards, replicas and routers; None = as it is. `shard`: replicas of that one alone."""
    cluster = place.cluster(name)
    wanted = {field: count for field, count in counts.items() if count is not None}
    if not wanted:
        raise Failure("say what: --shards, --replicas or --routers", Exit.BAD_INPUT)
    own = cluster["metadata"]["name"]
    if shard is None:
        spec: dict[str, Any] = dict(wanted)
        if "routers" in wanted:
            spec["routers"] = {"replicas": wanted["routers"]}
        place.patch(kinds.CLUSTER, own, {"spec": spec})
        _say(how, cluster, ", ".join(f"{field} {count}" for field, count in wanted.items()), wanted)
        return
    if set(wanted) != {"replicas"}:
        raise Failure("--shard goes with --replicas alone", Exit.BAD_INPUT)
    autoscaling = cluster.get("spec", {}).get("autoscaling", {}).get("replicas", {})
    if not autoscaling.get("enabled"):
        raise Failure(
            f"spec.replicas of {own} is of all shards, and the operator would undo this: leave --shard out, "
            "or set spec.autoscaling.replicas.enabled",
            Exit.BAD_INPUT,
        )
    place.patch(kinds.SHARD_GROUP, Names(own).shard(shard), {"spec": wanted}, "scale")
    _say(how, cluster, f"shard {shard}: {wanted['replicas']} replicas", {"shard": shard} | wanted)


def _annotate(place: Place, cluster: Raw, annotation: str, value: str | None) -> None:
    body = {"metadata": {"annotations": {annotation: value}}}
    place.patch(kinds.CLUSTER, cluster["metadata"]["name"], body)


def _say(how: Output, cluster: Raw, what: str, document: dict[str, Any]) -> None:
    name = cluster["metadata"]["name"]
    if how is Output.JSON:
        output.document({"cluster": name} | document)
    else:
        print(f"AidbCluster {name}: {what}")
