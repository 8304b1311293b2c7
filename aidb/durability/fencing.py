"""Claims and seals: how an epoch is taken, and how the log of an older one is ended (rules D).

Both are creates whose answer may be lost, so that the next attempt finds the name taken. Claims are
recognised by the claimant's id, seals by the sealer's; what somebody else put there is respected, whatever
it is.
"""

from __future__ import annotations

import time

from aidb.durability.catalog import Catalog
from aidb.durability.claim import Claim
from aidb.durability.identity import Place
from aidb.durability.piece import Seal
from aidb.objects.errors import Exists


class Superseded(Exception):
    """The epoch belongs to somebody else, or has ended: this process must not go on in it."""


def claim_epoch(catalog: Catalog, epoch: int, id: str, owner: str) -> Claim:
    """Takes the epoch, or finds that it was taken by ``id`` before.

    Raises:
        Superseded: it is another's, or a later one was claimed.
        ObjectError
    """
    claimed = catalog.claimed()
    if claimed and claimed[-1] > epoch:
        raise Superseded(f"epoch {claimed[-1]} was claimed, epoch {epoch} is over")
    names = catalog.names
    place = Place(names.cluster_uid, names.shard, epoch)
    parent = max((number for number in claimed if number < epoch), default=0)
    claim = Claim(place, id, owner, parent, time.time_ns() // 1_000_000)
    try:
        catalog.store.create(names.claim(epoch), claim.encode())
    except Exists:
        claim = catalog.claim(epoch)
        if claim.id != id:
            raise Superseded(f"epoch {epoch} was claimed by {claim.owner} ({claim.id})") from None
    return claim


def seal_log(catalog: Catalog, epoch: int, by_epoch: int, id: str) -> Seal:
    """Ends the log of an older epoch: at its next free number, unless it is ended already.

    Raises ObjectError.
    """
    names = catalog.names
    end = catalog.log_end(epoch)
    sequence = 0 if end is None else end
    while True:
        if end is not None or sequence:
            # Taken: by a seal, or by the old primary, which was faster.
            found = catalog.piece(epoch, sequence)
            if isinstance(found, Seal):
                return found
            sequence += 1
        place = Place(names.cluster_uid, names.shard, epoch, sequence)
        seal = Seal(place, id, by_epoch, time.time_ns() // 1_000_000)
        try:
            catalog.store.create(names.log(epoch, sequence), seal.encode())
        except Exists:
            end = sequence
            continue
        return seal


def seal_before(catalog: Catalog, epoch: int, id: str) -> None:
    """Ends the log of every older epoch number, claimed or not (t31, t32).

    They are ended oldest first. So below one that is ended all are, and the search for what is to do goes
    backwards.

    Raises ObjectError.
    """
    first = epoch
    while first > 1 and not is_sealed(catalog, first - 1):
        first -= 1
    for older in range(first, epoch):
        seal_log(catalog, older, epoch, id)


def is_sealed(catalog: Catalog, epoch: int) -> bool:
    """Whether the log of an epoch has been ended. Raises ObjectError."""
    return catalog.seal(epoch) is not None
