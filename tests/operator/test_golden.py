"""What is made of a spec, as it goes to the API server: tests/operator/golden/<name>.yaml has a spec, and
after it every object. AIDB_GOLDEN=write renews them; then the diff is what is to be reviewed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from aidb_operator.apply import marked
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import kind_of
from aidb_operator.plan import planner
from aidb_operator.plan.outcome import Desired
from aidb_operator.plan.steps import STEPS

from tests.operator import views

GOLDEN = Path(__file__).with_name("golden")
CASES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))


def _planned(spec: dict[str, Any]) -> list[dict[str, Any]]:
    plan = planner.plan(views.view(spec, nodes={"node-1": "a", "node-2": "b"}), STEPS, ())
    desired = [action for action in plan.actions if isinstance(action, Desired)]
    assert len(desired) == len(plan.actions)
    # Secrets are new each time (tests/operator/test_certificates.py).
    return [
        marked(one) | ({} if one.replicas is None else {"(replicas)": one.replicas})
        for one in desired
        if kind_of(one.raw) is not kinds.SECRET
    ]


@pytest.mark.parametrize("case", CASES)
def test_objects_of_a_spec(case: str) -> None:
    path = GOLDEN / f"{case}.yaml"
    spec, *golden = yaml.safe_load_all(path.read_text())
    planned = _planned(spec)
    if os.environ.get("AIDB_GOLDEN") == "write":
        path.write_text(yaml.safe_dump_all([spec, *planned], sort_keys=True))
        return
    assert planned == golden
