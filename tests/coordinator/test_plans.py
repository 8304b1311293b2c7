"""The plan of a rebalance, from the coordinator and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aidb.admin.app import app
from aidb.cli.main import run
from tests.coordinator.process import CoordinatorProcess

Start = Callable[..., CoordinatorProcess]


def test_a_plan_is_shown_and_changes_nothing(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    coordinator = start("--shards", "3")
    before = coordinator.topology()

    def rebalance(*arguments: str) -> tuple[int, str, str]:
        code = run(["rebalance", "--address", coordinator.address, *arguments], app, "aidb-admin")
        said = capsys.readouterr()
        return code, said.out, said.err

    code, out, _ = rebalance("--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "nothing has to move")
    code, out, _ = rebalance("--dry-run", "--without", "1", "-o", "json")
    plan = json.loads(out)
    assert code == 0
    assert plan["topology_version"] == before.version
    assert [(one["before"], one["after"]) for one in plan["shards"]] == [
        (5462, 8192),
        (5461, 0),
        (5461, 8192),
    ]
    assert {(move["from"], move["to"]) for move in plan["moves"]} == {(1, 0), (1, 2)}
    assert plan["moves"][0]["slots"] == "5462-5717", "what lengthens the range of shard 0"
    code, out, _ = rebalance("--dry-run", "--without", "1")
    assert (code, "1     0   256    5462-5717" in out) == (0, True)
    assert coordinator.topology() == before

    assert rebalance()[0] == 2
    code, _, err = rebalance("--dry-run", "--without", "7")
    assert (code != 0, "no shard 7" in err) == (True, True)
    code, _, err = rebalance("--dry-run", "--without", "0", "--without", "1", "--without", "2")
    assert (code != 0, "leave one shard" in err) == (True, True)
