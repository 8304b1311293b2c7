"""Which node is in which zone, for the programs: a pod cannot ask for its node's labels."""

from __future__ import annotations

from aidb_operator.kubernetes import kinds
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Outcome, View, objects

FILE = "zones"


def plan(view: View) -> Outcome:
    lines = [f"{node.name} {node.zone}\n" for _, node in sorted(view.observed.nodes.items()) if node.zone]
    zones = made(view, kinds.CONFIG_MAP, view.names.zones, data={FILE: "".join(lines)})
    return Outcome(actions=objects([zones]))
