"""Holds (`durability/hold.py`): a snapshot and retentions over one SST that is there and that no manifest
names.

The snapshot counts on the SST if it finds it, and publishes a manifest that names it. The retention
deletes it if no manifest names it. Each may sleep at every step. What must hold: a published manifest's
SST is there once the snapshot has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from tests.models.explore import Action, explore


@dataclass(frozen=True, slots=True)
class Rules:
    """``announce``: both make holds and look at the other's: ``first`` their own and then look, or
    ``after`` looking. ``look_again``: the snapshot looks at what it counted on when its manifest is there,
    and uploads what is gone.
    """

    announce: str = "first"
    look_again: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """``snapshot`` and ``retention`` are the last steps done."""

    sst: bool = True
    manifest: bool = False
    snapshot: str = "idle"
    retention: str = "idle"
    snapshot_holds: bool = False
    retention_holds: bool = False
    runs: int = 0


def actions(rules: Rules) -> list[Action[State]]:
    def snapshot(s: State) -> Iterable[tuple[str, State]]:
        match s.snapshot:
            case "idle" if rules.announce == "first":
                yield "snapshot holds", replace(s, snapshot="held", snapshot_holds=True)
            case "held" if not s.retention_holds:
                yield "snapshot sees no retention", replace(s, snapshot="free")
            case "idle" if rules.announce == "after" and not s.retention_holds:
                yield "snapshot sees no retention", replace(s, snapshot="seen")
            case "seen":
                yield "snapshot holds", replace(s, snapshot="free", snapshot_holds=True)
            case "idle" if rules.announce == "none":
                yield "snapshot begins", replace(s, snapshot="free")
            case "free":
                yield "snapshot lists, uploads what is missing", replace(s, snapshot="listed", sst=True)
            case "listed":
                yield "snapshot publishes", replace(s, snapshot="published", manifest=True)
            case "published":
                yield (
                    "snapshot ends",
                    replace(s, snapshot="ended", snapshot_holds=False, sst=s.sst or rules.look_again),
                )

    def retention(s: State) -> Iterable[tuple[str, State]]:
        match s.retention:
            case "idle" if s.runs < 2 and rules.announce == "first":
                yield "retention holds", replace(s, retention="held", retention_holds=True)
            case "held":
                yield (
                    "retention looks for snapshots",
                    replace(s, retention="sparing" if s.snapshot_holds else "free"),
                )
            case "idle" if s.runs < 2 and rules.announce == "after" and not s.snapshot_holds:
                yield "retention sees no snapshot", replace(s, retention="seen")
            case "seen":
                yield "retention holds", replace(s, retention="free", retention_holds=True)
            case "idle" if s.runs < 2 and rules.announce == "none":
                yield "retention begins", replace(s, retention="free")
            case "free":
                yield "retention lists", replace(s, retention="sparing" if s.manifest else "doomed")
            case "doomed":
                yield "retention deletes", replace(s, retention="done", sst=False)
            case "sparing" | "done":
                yield "retention ends", replace(s, retention="idle", retention_holds=False, runs=s.runs + 1)

    return [snapshot, retention]


def dangling(s: State) -> str:
    if s.snapshot == "ended" and not s.sst:
        return "the manifest names an SST that is not there"
    return ""


@pytest.mark.parametrize("rules", [Rules(), Rules(look_again=False)])
def test_holds_keep_the_two_apart(rules: Rules) -> None:
    found = explore(State(), actions(rules), dangling)
    assert found.wrong == "", found.trace
    assert found.states > 30


@pytest.mark.parametrize("rules", [Rules("none"), Rules("after"), Rules("none", look_again=False)])
def test_without_holds_or_with_a_look_before_them_an_sst_is_lost(rules: Rules) -> None:
    assert explore(State(), actions(rules), dangling).wrong
