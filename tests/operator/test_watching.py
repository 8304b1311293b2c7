"""The watches: what wakes whom, what a gap is, and that none of it writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aidb_operator import names, watching
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind
from aidb_operator.kubernetes.store import ClusterKey, Store
from aidb_operator.watching import Seen, WatchesFailed, Watching
from kopf._cogs.structs.references import Resource

DB = ClusterKey("ns", "db")


class Told:
    """What kopf would tell, told by hand: first the index, then the event."""

    def __init__(self) -> None:
        self.store = Store()
        self.woken: list[ClusterKey | None] = []
        self.watching = Watching(self.store, self.woken.append, (), kinds.WATCHED, None)
        self.seen = Seen()
        self.ended = asyncio.Event()

    def tell(self, kind: Kind, what: str | None, raw: dict[str, Any]) -> None:
        if what != "DELETED":
            self.watching.indexed(self.seen, kind, raw)
        self.watching.told(self.seen, self.ended, kind, what, raw)


def _pod(uid: str = "1", version: str = "1") -> dict[str, Any]:
    labels = {names.CLUSTER: "db"}
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": uid, "resourceVersion": version, "labels": labels}
    }


def test_events_wake_the_cluster_that_they_concern() -> None:
    told = Told()
    told.tell(kinds.POD, None, _pod())
    told.tell(kinds.POD, "MODIFIED", _pod(version="2"))
    told.tell(kinds.POD, "DELETED", _pod(version="3"))
    assert told.woken == [DB, DB, DB]
    assert not told.store.of_cluster(DB)
    assert not told.ended.is_set()


def test_what_is_no_news_wakes_nobody() -> None:
    told = Told()
    told.tell(kinds.POD, "ADDED", _pod())
    told.tell(kinds.POD, "MODIFIED", _pod())
    assert told.woken == [DB]


def test_the_store_is_whole_when_the_first_event_is_told() -> None:
    """All listings are indexed before that."""
    told = Told()
    told.watching.indexed(told.seen, kinds.POD, _pod())
    assert told.store.seen(DB) is None
    told.watching.told(told.seen, told.ended, kinds.POD, None, _pod())
    assert told.store.seen(DB) is not None


@pytest.mark.parametrize("before", [None, "ADDED", "MODIFIED"])
def test_a_second_listing_is_a_gap_and_everything_is_read_anew(before: str | None) -> None:
    told = Told()
    told.tell(kinds.POD, before, _pod())
    told.tell(kinds.POD, None, _pod(version="9"))
    assert told.ended.is_set()


def test_an_object_of_the_same_name_is_no_gap() -> None:
    told = Told()
    told.tell(kinds.POD, None, _pod("1"))
    told.tell(kinds.POD, "DELETED", _pod("1"))
    told.tell(kinds.POD, "ADDED", _pod("2"))
    assert not told.ended.is_set()


def test_watches_that_fail_again_and_again_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    lives = 0

    async def fails(self: Watching) -> None:
        nonlocal lives
        lives += 1
        raise OSError("no route")

    monkeypatch.setattr(Watching, "_once", fails)
    monkeypatch.setattr(watching, "PAUSES", (0.0,))
    with pytest.raises(WatchesFailed, match="no route"):
        told.watching.run()
    assert lives == watching.MOST_FAILURES


def test_only_what_carries_the_label_of_a_cluster_is_asked_for() -> None:
    made = watching.settings(kinds.WATCHED)

    def asked(kind: Kind) -> list[str]:
        served = Resource(kind.group, kind.version, kind.plural, namespaced=kind.namespaced)
        return made.watching.label_selectors.collect(served)

    for kind in kinds.WATCHED:
        assert asked(kind) == ([names.CLUSTER] if kind.owned else []), kind
    assert kinds.SECRET.owned
    assert kinds.CONFIG_MAP.owned
    assert not made.posting.enabled
    assert made.scanning.disabled
