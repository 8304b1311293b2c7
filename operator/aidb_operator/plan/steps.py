"""The steps of a reconcile, in order, and the gates that hold changes back."""

from __future__ import annotations

from aidb_operator.plan.planner import Gate, Step

STEPS: tuple[Step, ...] = ()

GATES: tuple[Gate, ...] = ()
