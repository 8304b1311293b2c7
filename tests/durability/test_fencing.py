"""Claims and seals in a real store, also when answers are lost and others race."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import Superseded, claim_epoch, is_sealed, seal_before, seal_log
from aidb.durability.identity import Place
from aidb.durability.names import Names
from aidb.durability.piece import Piece, Seal, Start
from aidb.durability.stamp import check_stamp, clusters, ensure_stamp, shards
from aidb.objects.errors import Damaged, Exists, Unavailable
from aidb.objects.file import FileStore
from aidb.objects.store import ObjectStore
from tests.objects.faults import FaultyStore, Odds

NAMES = Names("uid", 0)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(FileStore(tmp_path / "objects"), NAMES)


def piece(epoch: int, sequence: int, previous_lsn: int, last_lsn: int, start: Start | None = None) -> Piece:
    place = Place("uid", 0, epoch, sequence)
    return Piece(place, "writer", previous_lsn, last_lsn, records=1, start=start, body=b"x")


def put(catalog: Catalog, one: Piece) -> None:
    catalog.store.create(NAMES.log(one.place.epoch, one.place.sequence), one.encode())


def test_an_epoch_is_claimed_once_and_its_claimant_recognised(catalog: Catalog) -> None:
    first = claim_epoch(catalog, 3, "disk-a", "a")
    assert first.parent == 0
    assert claim_epoch(catalog, 3, "disk-a", "a") == first
    with pytest.raises(Superseded, match="claimed by a"):
        claim_epoch(catalog, 3, "disk-b", "b")
    assert claim_epoch(catalog, 5, "disk-b", "b").parent == 3
    with pytest.raises(Superseded, match="epoch 5 was claimed, epoch 4 is over"):
        claim_epoch(catalog, 4, "disk-a", "a")


def test_of_racing_claimants_one_wins(catalog: Catalog) -> None:
    def claim(number: int) -> bool:
        try:
            claim_epoch(catalog, 1, f"disk-{number}", "x")
        except Superseded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(claim, range(8))).count(True) == 1


def test_a_log_is_sealed_once_at_its_next_free_number(catalog: Catalog) -> None:
    for sequence in range(3):
        put(catalog, piece(1, sequence, sequence, sequence + 1))
    assert not is_sealed(catalog, 1)
    made = seal_log(catalog, 1, 2, "taker")
    assert made.place.sequence == 3
    assert seal_log(catalog, 1, 3, "other") == made
    assert is_sealed(catalog, 1)
    with pytest.raises(Exists):
        put(catalog, piece(1, 3, 3, 4))
    assert catalog.last_piece(1) == piece(1, 2, 2, 3)
    assert seal_log(catalog, 7, 8, "taker").place.sequence == 0


class Racing(FileStore):
    """The old primary archives once more just before the seal is created."""

    def create(self, key: str, body: bytes) -> None:
        if key == NAMES.log(1, 1) and not self.raced:
            self.raced = True
            super().create(key, piece(1, 1, 1, 2).encode())
        super().create(key, body)

    raced = False


def test_the_seal_advances_past_what_the_old_primary_archived_meanwhile(tmp_path: Path) -> None:
    catalog = Catalog(Racing(tmp_path), NAMES)
    put(catalog, piece(1, 0, 0, 1))
    assert seal_log(catalog, 1, 2, "taker").place.sequence == 2
    found = catalog.last_piece(1)
    assert found is not None
    assert found.last_lsn == 2


def test_every_older_epoch_is_sealed_oldest_first(catalog: Catalog) -> None:
    seal_before(catalog, 4, "taker")
    assert [is_sealed(catalog, epoch) for epoch in (1, 2, 3, 4)] == [True, True, True, False]
    seal_before(catalog, 6, "next")
    found = [catalog.piece(epoch, 0) for epoch in (3, 4, 5)]
    assert [one.by_epoch for one in found if isinstance(one, Seal)] == [4, 6, 6]


def test_lost_answers_leave_one_seal(tmp_path: Path) -> None:
    faulty = FaultyStore(FileStore(tmp_path), Odds(lost_answer=0.5, error=0.2), 5)
    catalog = Catalog(faulty, NAMES)
    for epoch in range(1, 12):
        while True:
            try:
                seal_log(catalog, epoch, 20, "taker")
                break
            except Unavailable:
                continue
        assert len(FileStore(tmp_path).page(NAMES.logs(epoch))) == 1
    assert min(faulty.met["lost_answer"], faulty.met["error"]) > 0


def test_the_end_of_a_log_of_thousands_is_found(tmp_path: Path) -> None:
    catalog = Catalog(store := FileStore(tmp_path), NAMES)
    assert catalog.log_end(1) is None
    directory = tmp_path / NAMES.logs(1)
    directory.mkdir(parents=True)
    made = 0
    for end in (0, 998, 999, 1000, 1998, 1999, 2000, 2001, 4321):
        while made <= end:
            (tmp_path / NAMES.log(1, made)).touch()
            made += 1
        assert catalog.log_end(1) == end
    for gone in range(1, 3000):
        store._path(NAMES.log(1, gone)).unlink()
    assert catalog.log_end(1) == 4321


def test_an_object_of_another_shard_or_of_no_sense_is_named(catalog: Catalog) -> None:
    stranger = replace(piece(1, 0, 0, 1), place=Place("uid", 9, 1, 0))
    catalog.store.create(NAMES.log(1, 0), stranger.encode())
    with pytest.raises(Damaged, match=r"log/0+ in file:.*belongs to uid/9"):
        catalog.piece(1, 0)
    catalog.store.create(NAMES.log(1, 1), b"rubbish")
    with pytest.raises(Damaged, match=r"log/0+1"):
        catalog.piece(1, 1)


def test_stamps(tmp_path: Path) -> None:
    store: ObjectStore = FileStore(tmp_path)
    with pytest.raises(Damaged, match="but of no cluster"):
        check_stamp(store, "mine")
    ensure_stamp(store, "mine")
    ensure_stamp(store, "mine")
    ensure_stamp(store, "mine-2")
    check_stamp(store, "mine")
    assert clusters(store) == ["mine", "mine-2"]
    with pytest.raises(Damaged, match="of mine, mine-2: check the URL"):
        check_stamp(store, "other")
    store.create("copied/cluster", store.get("mine/cluster"))
    with pytest.raises(Damaged, match="objects were copied"):
        check_stamp(store, "copied")
    for shard in (0, 2, 10):
        claim_epoch(Catalog(store, Names("mine", shard)), 1, "x", "x")
    assert shards(store, "mine") == [0, 2, 10]
