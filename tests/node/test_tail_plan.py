"""Who is asked for as the tail set (D5)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from aidb_node.tail_set import SILENT_MS, Policy, plan

from aidb.v1 import common_pb2 as common


@dataclass
class One:
    name: str
    node: str = ""
    member: bool = False
    required: bool = False
    connected: bool = True
    behind_ms: int = 0
    away_ms: int = 0

    def __post_init__(self) -> None:
        self.node = self.node or f"node-of-{self.name}"


@dataclass
class Status:
    followers: list[One] = field(default_factory=list)
    mode: int = common.DURABILITY_REPLICA
    node: str = "here"
    promised_lsn: int = 0
    covered: bool = True


def member(name: str, **fields: object) -> One:
    return One(name, **{"member": True, "required": True, **fields})  # type: ignore[arg-type]


ONE = Policy()
SILENT = SILENT_MS + 1


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (Status(), None),
        (Status([One("a"), One("b")]), ["a"]),
        (Status([One("a", node="here"), One("b")]), ["b"]),
        (Status([One("a", connected=False, away_ms=1)]), None),
        (Status([One("a", behind_ms=SILENT), One("b")]), ["b"]),
        (Status([member("a"), One("b")]), None),
        (Status([member("a", behind_ms=SILENT), One("b")], covered=False), None),
        (Status([member("a", behind_ms=SILENT), One("b")]), ["b"]),
        (Status([member("a", away_ms=SILENT, connected=False)]), []),
        (Status([member("a")], mode=common.DURABILITY_ASYNC), []),
        (Status([member("a")], mode=common.DURABILITY_ASYNC, covered=False), None),
        # Asked for, and the answer was lost: asked once more, so that the document says what is so.
        (Status([One("a", required=True)], covered=False), ["a"]),
        (Status([One("a", required=True, behind_ms=SILENT)]), []),
    ],
)
def test_one_member(status: Status, asked: list[str] | None) -> None:
    assert plan(status, ONE) == asked


def test_members_fail_apart() -> None:
    status = Status([One("a", node="n1"), One("b", node="n1"), One("c", node="n2")])
    assert plan(status, Policy(members=2)) == ["a", "c"]
    assert plan(status, Policy(members=2, same_node=True)) == ["a", "b"]


def test_a_set_of_two_is_filled_up() -> None:
    status = Status([member("a"), member("b", away_ms=SILENT), One("c")])
    assert plan(status, Policy(members=2)) == ["a", "c"]
    assert plan(Status([member("a"), member("b")]), ONE) == ["a"]
