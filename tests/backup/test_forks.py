"""A shard that was restored to an earlier point goes on from there, in whatever epoch that was: nothing that
was given up comes back, and nothing that is history is lost.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from aidb_node.recovery import origin
from aidb_node.recovery.in_place import in_place

from aidb.durability.catalog import Catalog
from aidb.durability.lineage import END, Branch
from aidb.durability.piece import Start
from aidb.durability.restore_plan import Target
from aidb.durability.verification import verify
from tests.backup.support import NAMES, History, Primary, archive_of, catch_up, open_store, synced
from tests.backup.test_recovery import Lived, lived, once, restored, state_in  # noqa: F401


def ends(lived: Lived) -> list[int]:  # noqa: F811
    """The last LSN of each of the three epochs."""
    catalog = Catalog(lived.objects, NAMES)
    cuts = {branch.epoch: branch.cut for branch in catalog.branches(3)}
    return [cuts[1], cuts[2], lived.last]


def live_on(lived: Lived, place: Path, state: dict[bytes, bytes], epoch: int) -> History:  # noqa: F811
    """Some writes of a primary that starts from ``place`` in a new epoch, archived."""
    store = open_store(place / "store")
    store.begin_epoch(epoch)
    primary, history = Primary(store), History(store)
    history.now = dict(state)
    archive = archive_of(lived.objects, primary, epoch, origin=origin.read(place))
    for number in range(5):
        history.put(b"life-%d" % epoch, b"%d" % number)
        synced(primary)
        catch_up(archive)
    assert archive.progress.gaps == 0
    store.close()
    return history


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_history_goes_on_from_any_epoch(lived: Lived, tmp_path: Path, epoch: int) -> None:  # noqa: F811
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    draw = random.Random(seed)
    low, high = [lived.snapshots[0].lsn, *ends(lived)][epoch - 1 : epoch + 1]
    lsn = draw.choice([one for one in lived.history.states if low < one < high])
    place = tmp_path / "again"
    report = in_place(Catalog(lived.objects, NAMES), place, Target(lsn=lsn))
    assert (report.lsn, report.epoch) == (lsn, 3)
    history = live_on(lived, place, lived.history.states[lsn], 4)
    catalog = Catalog(lived.objects, NAMES)
    assert catalog.start(4) == Start(epoch, lsn)
    assert catalog.branches(4)[:2] == [Branch(4, END), Branch(epoch, lsn)]
    assert verify(catalog).problems == []
    assert restored(lived.objects, tmp_path / "newest").loss is None
    assert state_in(tmp_path / "newest") == history.now
    for number, (one, state) in enumerate(
        [(lsn, lived.history.states[lsn]), *list(history.states.items())[1:]]
    ):
        restored(lived.objects, tmp_path / f"old-{number}", Target(lsn=one))
        assert state_in(tmp_path / f"old-{number}") == state, one
    given_up = min(one for one in lived.history.states if one > lsn)
    assert restored(lived.objects, tmp_path / "x", Target(lsn=given_up)).lsn == lsn
    assert state_in(tmp_path / "x") == lived.history.states[lsn]
    # The next start continues the fourth epoch, not the fork.
    live_on(lived, place, history.now, 5)
    start = catalog.start(5)
    assert start is not None
    assert start.parent == 4
    # And once more, to before the first fork.
    again = max(one for one in lived.history.states if one < lsn)
    in_place(catalog, place, Target(lsn=again))
    third = live_on(lived, place, lived.history.states[again], 6)
    restored(lived.objects, tmp_path / "third")
    assert state_in(tmp_path / "third") == third.now


def test_an_origin_belongs_to_one_store(lived: Lived, tmp_path: Path) -> None:  # noqa: F811
    place = tmp_path / "again"
    lsn = max(one for one in lived.history.states if one < ends(lived)[0])
    in_place(Catalog(lived.objects, NAMES), place, Target(lsn=lsn))
    assert origin.read(place) == origin.Origin(3, 1, lsn)
    # As after a crash before the restored store had its place.
    (place / "store").rename(place / "aside")
    shutil.copytree(place / "aside", place / "store")
    assert origin.read(place) is None
    for damage in (b"", b"[]", json.dumps({"store": (place / "store").stat().st_ino}).encode()):
        (place / origin.FILE).write_bytes(damage)
        with pytest.raises(ValueError, match="is damaged"):
            origin.read(place)
    (place / origin.FILE).unlink()
    assert origin.read(place) is None
