"""The archive has every record once, in order, in one chain; what it tells of ownership is never too much
(D1).
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from aidb_node.backup.archive import Archive
from aidb_node.failure import LogGap

from aidb.durability.catalog import Catalog
from aidb.durability.fencing import Superseded, claim_epoch, seal_log
from aidb.durability.piece import Piece, Start
from aidb.objects.errors import Exists, Unavailable
from aidb.objects.file import FileStore
from aidb.objects.unfenced import UnfencedStore
from tests.backup.support import DISK, NAMES, History, Primary, archive_of, catch_up, synced
from tests.objects.faults import FaultyStore, Odds


def pieces(store: FileStore, epoch: int = 1) -> list[Piece]:
    catalog = Catalog(store, NAMES)
    found = [catalog.piece(epoch, number) for number in range(len(catalog.log(epoch)))]
    return [one for one in found if isinstance(one, Piece)]


def check_chain(found: list[Piece], lsn: int = 0) -> int:
    for one in found:
        assert one.previous_lsn == lsn
        lsn = one.last_lsn
    return lsn


def test_everything_is_archived_in_one_chain(objects: FileStore, primary: Primary, history: History) -> None:
    archive = archive_of(objects, primary)
    for round in range(5):
        for number in range(20):
            history.put(b"k%d" % number, b"%d" % round)
        synced(primary)
        catch_up(archive)
        assert archive.progress.archived_lsn == primary.store.position()[1]
    found = pieces(objects)
    assert check_chain(found) == primary.store.position()[1]
    assert sum(one.records for one in found) == 100
    assert found[0].start == Start(0, 0)
    assert all(one.start is None for one in found[1:])
    assert [lsn for lsn, sent in primary.proofs] == [one.last_lsn for one in found]
    assert not archive.step()


def test_an_archive_that_always_has_something_to_do_is_not_ever_further_behind(
    objects: FileStore, primary: Primary, history: History
) -> None:
    archive = archive_of(objects, primary)
    archive.open()
    before = 0.0
    for number in range(3):
        history.put(b"k", b"%d" % number)
        synced(primary)
        begun = time.monotonic()
        assert archive.step()
        since = archive.progress.behind_since
        assert since is not None and before < begun <= since
        before = since
    assert not archive.step()
    assert archive.progress.behind_since is None


def test_through_every_fault_there_is_one_chain_and_no_false_evidence(
    objects: FileStore, primary: Primary, history: History
) -> None:
    seed = 11
    odds = Odds(error=0.15, lost_answer=0.25, conflict=0.15)
    faulty = FaultyStore(objects, odds, seed)
    archive = archive_of(faulty, primary)
    lost_in_create = 0
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    for number in range(60):
        history.put(b"k", b"%d" % number)
        synced(primary)
        while archive.progress.archived_lsn < primary.store.position()[1]:
            known = len(pieces(objects)) if archive.is_open else 0
            try:
                if not archive.is_open:
                    archive.open()
                else:
                    archive.step()
            except Unavailable:
                lost_in_create += archive.is_open and len(pieces(objects)) > known
    assert check_chain(pieces(objects)) == primary.store.position()[1]
    assert len(primary.proofs) == len(pieces(objects))
    without = [lsn for lsn, sent in primary.proofs if sent == 0]
    assert len(without) == lost_in_create > 0, f"seed {seed}"
    assert all(before <= sent for _, sent in primary.proofs if sent)


class Delayed(FileStore):
    """The first create of a piece does its work, and answers with an error after a while."""

    def create(self, key: str, body: bytes) -> None:
        super().create(key, body)
        if "/log/" in key and not self.failed:
            self.failed = True
            raise Unavailable("the answer was lost")

    failed = False


def test_ones_own_piece_found_on_a_retry_renews_nothing(
    tmp_path: Path, primary: Primary, history: History
) -> None:
    archive = archive_of(Delayed(tmp_path / "objects"), primary)
    history.put(b"k", b"v")
    synced(primary)
    archive.open()
    with pytest.raises(Unavailable):
        archive.step()
    assert archive.step()
    assert primary.proofs == [(archive.progress.archived_lsn, 0)]


def test_a_store_that_does_not_fence_gives_no_evidence(
    objects: FileStore, primary: Primary, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileStore, "fenced", False)
    archive = archive_of(objects, primary)
    history.put(b"k", b"v")
    synced(primary)
    catch_up(archive)
    assert [sent for _, sent in primary.proofs] == [0]
    primary.evidence_ms = 60_000
    assert not archive.step()


def test_pieces_without_records_are_made_only_without_a_fresh_lease(
    objects: FileStore, primary: Primary
) -> None:
    archive = archive_of(objects, primary)
    archive.open()
    assert primary.began == 0
    assert not archive.step()
    primary.evidence_ms = 6_000
    assert archive.step()
    (made,) = pieces(objects)
    assert (made.records, made.previous_lsn, made.last_lsn) == (0, 0, 0)
    assert primary.proofs[0][1] > 0


def test_a_seal_ends_the_archive(objects: FileStore, primary: Primary, history: History) -> None:
    archive = archive_of(objects, primary)
    history.put(b"k", b"1")
    synced(primary)
    catch_up(archive)
    seal_log(Catalog(objects, NAMES), 1, 2, "taker")
    history.put(b"k", b"2")
    synced(primary)
    with pytest.raises(Superseded, match="sealed for epoch 2 by taker"):
        archive.step()
    assert len(primary.proofs) == 1


def test_where_seals_keep_nobody_out_a_later_claim_ends_the_archive(
    objects: FileStore, primary: Primary, history: History
) -> None:
    """D4: what was created may be on top of a seal; nothing is acknowledged because of it."""
    archive = archive_of(UnfencedStore(objects), primary)
    history.put(b"k", b"1")
    synced(primary)
    catch_up(archive)
    archived = [lsn for lsn, _ in primary.proofs]
    history.put(b"k", b"2")
    synced(primary)
    claim_epoch(Catalog(objects, NAMES), 2, "disk-b", "b")
    with pytest.raises(Superseded, match="epoch 2 was claimed"):
        archive.step()
    assert [lsn for lsn, _ in primary.proofs] == archived


def test_a_later_claim_and_another_process_in_ones_epoch_end_it(objects: FileStore, primary: Primary) -> None:
    claim_epoch(Catalog(objects, NAMES), 3, "disk-b", "b")
    for epoch in (2, 3):
        with pytest.raises(Superseded):
            archive_of(objects, primary, epoch).open()


def test_a_restart_in_place_goes_on_where_the_archive_ends(
    objects: FileStore, primary: Primary, history: History
) -> None:
    first = archive_of(objects, primary)
    history.put(b"a", b"1")
    synced(primary)
    catch_up(first)
    ended = first.progress.archived_lsn
    history.put(b"b", b"2")
    synced(primary)
    second = archive_of(objects, primary, epoch=2)
    catch_up(second)
    assert pieces(objects, 2)[0].start == Start(1, ended)
    assert check_chain(pieces(objects, 2), ended) == primary.store.position()[1]
    with pytest.raises(Superseded):
        first.step()
    # Epoch 3 never archived anything; the fourth continues the second.
    archive_of(objects, primary, epoch=3).open()
    fourth = archive_of(objects, primary, epoch=4)
    history.put(b"c", b"3")
    synced(primary)
    catch_up(fourth)
    assert pieces(objects, 4)[0].start == Start(2, second.progress.archived_lsn)


def test_the_same_epoch_again_goes_on_after_its_own_pieces(
    objects: FileStore, primary: Primary, history: History
) -> None:
    history.put(b"a", b"1")
    synced(primary)
    catch_up(archive_of(objects, primary))
    again = archive_of(objects, primary)
    history.put(b"a", b"2")
    synced(primary)
    catch_up(again)
    assert check_chain(pieces(objects)) == primary.store.position()[1]
    with pytest.raises(Superseded):
        archive_of(objects, primary, id="disk-b").open()


class Forgetful(Primary):
    """Lost its log up to some LSN."""

    lost_through = 0

    def log_after(self, lsn: int, max_bytes: int):  # type: ignore[no-untyped-def]
        if lsn < self.lost_through:
            raise LogGap("lost", lsn, self.lost_through)
        return super().log_after(lsn, max_bytes)


def test_a_gap_is_said_and_the_chain_goes_on_behind_it(
    objects: FileStore, primary: Primary, history: History
) -> None:
    forgetful = Forgetful(primary.store)
    gaps: list[str] = []
    archive = Archive(
        Catalog(objects, NAMES),
        forgetful,
        epoch=1,
        id=DISK,
        owner="p",
        lease_ms=1,
        on_gap=gaps.append,
        on_notice=gaps.append,
    )
    history.put(b"a", b"1")
    synced(primary)
    catch_up(archive)
    history.put(b"a", b"2")
    forgetful.lost_through = history.put(b"a", b"3")
    last = history.put(b"a", b"4")
    synced(primary)
    catch_up(archive)
    found = pieces(objects)
    assert [one.gap for one in found] == [False, True]
    assert (found[1].previous_lsn, found[1].last_lsn) == (forgetful.lost_through, last)
    assert len(gaps) == archive.progress.gaps == 1
    history.put(b"a", b"5")
    synced(primary)
    catch_up(archive)
    assert [one.gap for one in pieces(objects)] == [False, True, False]
    with pytest.raises(Exists):
        objects.create(NAMES.log(1, 1), b"")
