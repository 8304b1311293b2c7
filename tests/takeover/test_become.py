"""A taker goes on from what it restored: what its epoch archives hangs together with history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aidb_node import identity
from aidb_node.config import Settings
from aidb_node.logs import Log
from aidb_node.recovery import origin
from aidb_node.recovery.recover import recover
from aidb_node.stop import Stop
from aidb_node.takeover import become

from aidb.durability.catalog import Catalog
from aidb.durability.piece import Start
from aidb.durability.restore_plan import Target
from aidb.objects.file import FileStore
from aidb.v1 import cluster_pb2 as pb
from tests.backup.support import (
    DISK,
    NAMES,
    History,
    Primary,
    archive_of,
    catch_up,
    contents,
    open_store,
    snapshot,
    synced,
)
from tests.backup.test_recovery import state_in


class Coordinator:
    """Gives out the epoch that it is asked for; the old primary is known to be dead."""

    channel = None

    def __init__(self, published: int) -> None:
        self.course = pb.TakeOverResponse(
            cluster_uid=NAMES.cluster_uid,
            published_epoch=published,
            published_disk_id=DISK,
            lease_ms=1000,
            predecessor_dead=True,
        )
        self.course.view.topology.shards.add(id=NAMES.shard)

    def ask(self, step: str, epoch: int = 0, take: bool = False) -> pb.TakeOverResponse:
        if take:
            self.course.epoch = self.course.published_epoch + 1
        return self.course


def take_over(objects: FileStore, data: Path, published: int) -> become.Taken:
    disk = replace(identity.claim(data, NAMES.shard), disk_id=f"of {data.name}")
    settings = Settings("primary", data.name, "", "", data=data, shard=NAMES.shard, objects=objects.url)
    asking: Any = Coordinator(published)
    return become._Taker(settings, Log(), Stop(), asking, asking.course, disk).run()


def serve(objects: FileStore, data: Path, epoch: int, key: bytes) -> dict[bytes, bytes]:
    """A life of the new primary, which archives one write and takes no snapshot; what it has in the end."""
    store = open_store(data / "store", create=False, keep_log=True)
    primary, history = Primary(store), History(store)
    store.begin_epoch(epoch)
    archive = archive_of(objects, primary, epoch, f"of {data.name}", origin.read(data))
    history.put(key, b"acknowledged")
    synced(primary)
    catch_up(archive)
    assert archive.progress.gaps == 0
    found = contents(store)
    store.close()
    return found


@pytest.mark.parametrize("ahead", [False, True])
def test_what_is_archived_after_a_takeover_needs_no_new_snapshot(
    objects: FileStore, primary: Primary, history: History, directory: Path, tmp_path: Path, ahead: bool
) -> None:
    """``ahead``: the snapshot to begin from shows more than the old primary had archived when it died."""
    archive = archive_of(objects, primary)
    for number in range(10):
        history.put(b"k%d" % number, b"archived")
    synced(primary)
    catch_up(archive)
    archived = history.put(b"beyond", b"1") - 1
    synced(primary)
    if ahead:
        snapshot(objects, primary, directory, archive)
    taken = take_over(objects, tmp_path / "second", 1)
    assert taken.epoch == 2
    catalog = Catalog(objects, NAMES)
    now = serve(objects, tmp_path / "second", 2, b"by the second")
    assert (b"beyond" in now) is ahead
    assert catalog.start(2) == Start(1, archived + ahead)
    recover(catalog, tmp_path / "copy", Target())
    assert state_in(tmp_path / "copy") == now

    # Restarts in place: its own epoch is what the next one continues, no more what it was restored from.
    now = serve(objects, tmp_path / "second", 3, b"by the second again")
    assert catalog.start(3) is not None and catalog.start(3).parent == 2  # type: ignore[union-attr]
    # And another takeover.
    assert take_over(objects, tmp_path / "third", 3).epoch == 4
    after = serve(objects, tmp_path / "third", 4, b"by the third")
    assert after == now | {b"by the third": b"acknowledged"}
    report = recover(catalog, tmp_path / "another copy", Target())
    assert report.loss is None
    assert state_in(tmp_path / "another copy") == after
