"""Shards that people want without a primary: annotation `aidb.io/fenced` of the AidbCluster, "0,2" or "*".

The coordinator records it in the topology first: from then on nobody takes the shard over, and no primary of
it may join. What the topology says is what the StatefulSets' counts follow (`primary`), so a primary is not
stopped before that, and not started again after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from aidb.v1 import cluster_pb2 as pb
from aidb_operator import names
from aidb_operator.api.conditions import Type
from aidb_operator.plan.outcome import Call, Condition, Outcome, View

EVERY = "*"
_LIST = re.compile(r"\s*(\*|\d{1,5}(\s*,\s*\d{1,5})*)?\s*")


def plan(view: View) -> Outcome:
    topology = view.observed.topology
    if topology is None:
        return Outcome()
    text = (view.cluster["metadata"].get("annotations") or {}).get(names.FENCED, "")
    if not _LIST.fullmatch(text):
        message = f"annotation {names.FENCED}: {text[:64]!r} is no list of shards, such as 0,2 or *"
        return Outcome(conditions=[Condition(Type.DEGRADED, True, "BadAnnotation", message)])
    wanted = fenced(text, topology.shards)
    actions = [
        Call(
            "FenceShard",
            pb.FenceShardRequest(shard=shard.id, unfence=shard.fenced),
            f"shard {shard.id}: annotation {names.FENCED} is {text!r}",
        )
        for shard in topology.shards.values()
        if (shard.id in wanted) != shard.fenced
    ]
    conditions = []
    if wanted:
        which = ", ".join(map(str, sorted(wanted)))
        conditions.append(Condition(Type.DEGRADED, True, "Fenced", f"shards {which} are fenced by people"))
    if view.observed.coordination is None:
        return Outcome(conditions=conditions)
    return Outcome(actions=actions, conditions=conditions)


def fenced(text: str, shards: Iterable[int]) -> frozenset[int]:
    """Those of `shards` that the annotation names. Raises ValueError."""
    known = frozenset(shards)
    if text.strip() == EVERY:
        return known
    return known & {int(part) for part in text.split(",") if part.strip()}
