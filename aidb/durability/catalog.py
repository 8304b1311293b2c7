"""Reads what lies in a store. Every object is checked: its checksum, its kind, and that it is where it
belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from aidb.durability import piece as pieces
from aidb.durability.claim import Claim
from aidb.durability.envelope import Malformed
from aidb.durability.hold import Hold
from aidb.durability.identity import Place, check_place
from aidb.durability.lineage import Branch, lineage
from aidb.durability.manifest import Manifest
from aidb.durability.names import Names, last_number
from aidb.durability.piece import Piece, Seal, Start
from aidb.objects.errors import Damaged, NoSuchKey
from aidb.objects.store import PAGE, ObjectStore, Stat, every

_Object = TypeVar("_Object", Claim, Manifest, Hold)


class Catalog:
    """One shard's objects. Methods raise `ObjectError`; `Damaged` names the object and what is wrong with
    it.
    """

    def __init__(self, store: ObjectStore, names: Names) -> None:
        self.store = store
        self.names = names

    def newest_claim(self) -> int:
        """The highest epoch that was claimed, 0 if none was."""
        return max(self.claimed(), default=0)

    def claimed(self) -> list[int]:
        """Epochs, ascending."""
        numbers = (last_number(stat.key) for stat in every(self.store, self.names.claims))
        return sorted(number for number in numbers if number is not None)

    def claim(self, epoch: int) -> Claim:
        key = self.names.claim(epoch)
        return self._checked(key, Claim.decode, self.store.get(key), self._place(epoch, 0))

    def manifests(self, epoch: int) -> list[Stat]:
        """In the order in which they were made."""
        return list(every(self.store, self.names.manifests(epoch)))

    def manifest(self, epoch: int, sequence: int) -> Manifest:
        key = self.names.manifest(epoch, sequence)
        return self._checked(key, Manifest.decode, self.store.get(key), self._place(epoch, sequence))

    def manifests_from(self, newest: int) -> Iterator[tuple[Manifest, Stat]]:
        """Of all epochs up to the ``newest``, newest first."""
        for epoch in reversed(self.claimed()):
            if epoch <= newest:
                for stat in reversed(self.manifests(epoch)):
                    yield self.manifest(epoch, last_number(stat.key) or 0), stat

    def log(self, epoch: int, after: int | None = None) -> list[Stat]:
        """The objects of the epoch's log, in order; from the one after ``after`` on."""
        from_key = "" if after is None else self.names.log(epoch, after)
        return list(every(self.store, self.names.logs(epoch), from_key))

    def piece(self, epoch: int, sequence: int) -> Piece | Seal:
        key = self.names.log(epoch, sequence)
        data = self.store.get(key)
        try:
            found = pieces.decode(data)
            check_place(found.place, self._place(epoch, sequence))
        except Malformed as error:
            raise self._damaged(key, error) from error
        return found

    def log_end(self, epoch: int) -> int | None:
        """The last sequence number of an epoch's log. A log may have millions of objects: they are not all
        listed.
        """
        prefix = self.names.logs(epoch)
        page = self.store.page(prefix)
        if len(page) < PAGE:
            return _last(page)
        # Something is at `low`, nothing after `high`; at first `high` is not known.
        low, step, high = _last(page) or 0, PAGE, -1
        while high != low:
            asked = (low + high) // 2 if high >= 0 else low + step
            page = self.store.page(prefix, self.names.log(epoch, asked))
            if page and len(page) < PAGE:
                return _last(page)
            if page:
                low, step = _last(page) or 0, step * 2
            else:
                high = asked
        return low

    def seal(self, epoch: int) -> Seal | None:
        """What ended the epoch's log; None while nothing has."""
        end = self.log_end(epoch)
        found = None if end is None else self.piece(epoch, end)
        return found if isinstance(found, Seal) else None

    def last_piece(self, epoch: int) -> Piece | None:
        """The newest piece of an epoch's log, if there is one."""
        end = self.log_end(epoch)
        while end is not None and end >= 0:
            try:
                found = self.piece(epoch, end)
            except NoSuchKey:
                return None
            if isinstance(found, Piece):
                return found
            end -= 1
        return None

    def start(self, epoch: int) -> Start | None:
        """From where the epoch continues: as its log says, else as its claim does, else nobody ever wrote
        in it.
        """
        try:
            first = self.piece(epoch, 0)
            if isinstance(first, Piece) and first.start is not None:
                return first.start
        except NoSuchKey:
            pass
        try:
            claimed = self.claim(epoch)
        except NoSuchKey:
            return None
        return Start(claimed.parent, (1 << 64) - 1)

    def branches(self, newest: int, oldest: int = 0) -> list[Branch]:
        """The lineage from the ``newest`` epoch back to the ``oldest``."""
        found = []
        try:
            for branch in lineage(newest, self.start):
                if branch.epoch < oldest:
                    break
                found.append(branch)
        except Malformed as error:
            raise Damaged(f"the epochs of {self.names.root} in {self.store.url}: {error}") from error
        return found

    def holds(self) -> list[Hold]:
        """Those that are readable: one that is being removed is none."""
        found = []
        for stat in every(self.store, self.names.holds):
            try:
                found.append(Hold.decode(self.store.get(stat.key)))
            except NoSuchKey:
                continue
            except Malformed as error:
                raise self._damaged(stat.key, error) from error
        return found

    def tables(self) -> list[Stat]:
        return list(every(self.store, self.names.tables))

    def _place(self, epoch: int, sequence: int) -> Place:
        return Place(self.names.cluster_uid, self.names.shard, epoch, sequence)

    def _checked(self, key: str, decode: Callable[[bytes], _Object], data: bytes, place: Place) -> _Object:
        try:
            found = decode(data)
            check_place(found.place, place)
        except Malformed as error:
            raise self._damaged(key, error) from error
        return found

    def _damaged(self, key: str, error: Malformed) -> Damaged:
        return Damaged(f"{key} in {self.store.url}: {error}")


def _last(page: list[Stat]) -> int | None:
    return last_number(page[-1].key) if page else None
