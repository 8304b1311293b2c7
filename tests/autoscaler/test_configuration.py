"""Rules by named settings."""

from __future__ import annotations

import pytest
from aidb_coordinator.autoscaler import Band, Mode, Rules, RulesError
from aidb_coordinator.autoscaler.configuration import configured, names, values

RULES = Rules(mode=Mode.ON)


def test_what_is_set_changes_and_the_rest_stays() -> None:
    rules = configured(
        RULES,
        {
            "interval": "5",
            "shards.limits.most": "7",
            "shards.limits.window": "60",
            "replicas.cpu.high": "0.9",
            "replicas.read_ms": "none",
            "shards.writes": "1:2:3",
        },
    )
    assert (rules.interval, rules.mode) == (5.0, Mode.ON)
    assert (rules.shards.limits.most, rules.shards.limits.window) == (7, 60.0)
    assert rules.shards.limits.least == RULES.shards.limits.least
    assert (rules.replicas.cpu, rules.replicas.read_ms) == (Band(0.2, 0.5, 0.9), None)
    assert rules.shards.writes == Band(1.0, 2.0, 3.0)
    assert configured(RULES, {}) == RULES


def test_what_all_settings_are_can_be_set() -> None:
    shown = values(RULES)
    assert (shown["shards.limits.most"], shown["replicas.cpu"]) == ("100", "0.2:0.5:0.8")
    assert set(shown) == names() and "mode" not in names()
    assert configured(RULES, {name: shown[name] for name in shown if "bytes" not in name}) == RULES
    without = configured(RULES, {"replicas.cpu": "none"})
    assert values(without)["replicas.cpu"] == "none" and "replicas.cpu.low" not in values(without)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("shards.limit.most", "7", "there is no setting shards.limit.most"),
        ("mode", "on", "there is no setting mode"),
        ("shards.limits.most", "many", "a whole number"),
        ("shards.limits.most", "0", "least 1 and most 0"),
        ("shards.limits.least", "0", "at least one shard"),
        ("replicas.cpu", "0.5", "LOW:TARGET:HIGH"),
        ("replicas.cpu.low", "0.7", "is no band"),
        ("replicas.cpu.low", "none", "a number"),
        ("interval", "0", "an interval of 0 s"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: str, why: str) -> None:
    with pytest.raises(RulesError, match=why):
        configured(RULES, {name: value})


def test_a_part_of_a_band_that_is_not_looked_at_cannot_be_set() -> None:
    without = configured(RULES, {"replicas.read_ms": "none"})
    with pytest.raises(RulesError, match=r"replicas\.read_ms is none"):
        configured(without, {"replicas.read_ms.low": "1"})
