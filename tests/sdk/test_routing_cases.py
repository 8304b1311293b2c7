"""The table of cases that the Python and the Rust routing are both held to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aidb import policy, slots, token
from aidb.balance import rendezvous_order
from aidb.errors import ErrorCode
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


def test_every_cause_has_a_case() -> None:
    named = {case["cause"] for case in CASES["actions"]}
    codes = {code.name for code in ErrorCode if code.value}
    assert named == codes | set(policy.Transport.__members__)
