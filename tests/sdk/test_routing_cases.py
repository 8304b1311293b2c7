"""The table of cases that the Python and the Rust routing are both held to."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from aidb import policy, slots, token
from aidb.balance import rendezvous_order
from aidb.ejection import Ejections, is_outlier
from aidb.errors import ErrorCode
from aidb.hedging import HedgeBudget, Quantile
from aidb.topology import Member

CASES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "routing_cases.json").read_text())


@pytest.mark.parametrize("case", CASES["slots"], ids=lambda case: case["key"][:16])
def test_slots(case: dict[str, Any]) -> None:
    key = bytes.fromhex(case["key"])
    assert slots.hash_tag(key) == bytes.fromhex(case["tag"])
    assert slots.slot_of(key) == case["slot"]


def test_the_slot_function_is_the_published_one() -> None:
    assert slots.slot_of(b"123456789") == 0x31C3 % slots.SLOT_COUNT


@pytest.mark.parametrize("case", CASES["rendezvous"], ids=lambda case: case["key"])
def test_rendezvous(case: dict[str, Any]) -> None:
    members = [Member(name, "localhost:1") for name in case["members"]]
    assert [m.name for m in rendezvous_order(members, bytes.fromhex(case["key"]))] == case["order"]


@pytest.mark.parametrize("case", CASES["token_merge"], ids=lambda case: case["why"])
def test_token_merge(case: dict[str, Any]) -> None:
    def encoded(entries: list[list[int]]) -> bytes:
        return token.encode({shard: (epoch, lsn) for shard, epoch, lsn in entries}, 1)

    session = token.SessionToken(encoded(case["into"]))
    session.merge(encoded(case["of"]))
    positions, _ = token.decode(session.encode())
    assert positions == {shard: (epoch, lsn) for shard, epoch, lsn in case["result"]}


@pytest.mark.parametrize("case", CASES["actions"], ids=lambda case: case["cause"])
def test_actions(case: dict[str, Any]) -> None:
    name = case["cause"]
    transport = name in policy.Transport.__members__
    cause: policy.Cause = policy.Transport[name] if transport else ErrorCode[name]
    for kind in policy.Kind:
        assert policy.decide(cause, kind) == case[kind.value], kind


def test_ejecting_causes() -> None:
    assert {cause.name for cause in policy.EJECTING} == set(CASES["ejecting"])


@pytest.mark.parametrize("case", CASES["hedge_delay"], ids=lambda case: case["why"])
def test_hedge_delay(case: dict[str, Any]) -> None:
    quantile = Quantile()
    for seconds in case["seconds"]:
        quantile.add(seconds)
    assert quantile.value == pytest.approx(case["estimate"], rel=1e-9)


@pytest.mark.parametrize("case", CASES["hedge_budget"], ids=lambda case: case["why"])
def test_hedge_budget(case: dict[str, Any]) -> None:
    budget = HedgeBudget(case["extra"], case["burst"])
    allowed = []
    for step in case["steps"]:
        if step == "c":
            budget.called()
        else:
            allowed.append(budget.spend())
    assert allowed == case["allowed"]


class Fixed(random.Random):
    """Draws what a case says; the longest of each range of times."""

    def __init__(self, draw: float) -> None:
        super().__init__()
        self.draw = draw

    def uniform(self, a: float, b: float) -> float:
        return b

    def random(self) -> float:
        return self.draw


@pytest.mark.parametrize("case", CASES["ejections"], ids=lambda case: case["why"])
def test_ejections(case: dict[str, Any]) -> None:
    ejections = Ejections(Fixed(case["draw"]))
    members = [Member(name, "localhost:1") for name in case["members"]]
    for step in case["steps"]:
        if "failed" in step:
            ejections.failed(step["failed"], step["at"])
        elif "answered" in step:
            ejections.succeeded(step["answered"], step["at"])
        else:
            asked, out = ejections.split(members, step["at"])
            found = {"asked": [m.name for m in asked], "out": [m.name for m in out]}
            assert found == {"asked": step["asked"], "out": step["out"]}, step


@pytest.mark.parametrize("case", CASES["outliers"], ids=lambda case: case["why"])
def test_outliers(case: dict[str, Any]) -> None:
    assert is_outlier(case["latency"], case["siblings"]) is case["outlier"]


def test_every_cause_has_a_case() -> None:
    named = {case["cause"] for case in CASES["actions"]}
    codes = {code.name for code in ErrorCode if code.value}
    assert named == codes | set(policy.Transport.__members__)
