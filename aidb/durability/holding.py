"""Making holds, and looking at those of others. See `hold` for what they mean."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from aidb.durability.catalog import Catalog
from aidb.durability.hold import Hold, Purpose
from aidb.durability.identity import Place
from aidb.objects.errors import ObjectError

# A dead process's hold of a retention keeps snapshots waiting, so it is short, and retention ends within
# it; those of snapshots and restores only keep what could be deleted.
SECONDS = {Purpose.RESTORE: 86_400.0, Purpose.SNAPSHOT: 86_400.0, Purpose.RETENTION: 600.0}
# Clocks differ.
_SLACK_SECONDS = 60.0


@contextmanager
def held(catalog: Catalog, purpose: Purpose, place: Place) -> Iterator[Hold]:
    """A hold, while the work is done. Raises ObjectError."""
    id = uuid.uuid4().hex
    hold = Hold(place, purpose, id, int((time.time() + SECONDS[purpose]) * 1000))
    key = catalog.names.hold(id)
    catalog.store.create(key, hold.encode())
    try:
        yield hold
    finally:
        # It ends by itself in any case.
        with contextlib.suppress(ObjectError):
            catalog.store.delete(key)


def others(catalog: Catalog, own: Hold) -> list[Hold]:
    """Holds of others that may still count. Raises ObjectError."""
    now_ms = (time.time() - _SLACK_SECONDS) * 1000
    return [hold for hold in catalog.holds() if hold.id != own.id and hold.until_ms > now_ms]


def ended_long_ago(catalog: Catalog) -> list[str]:
    """Keys of what dead processes left. Raises ObjectError."""
    long_ago_ms = (time.time() - max(SECONDS.values())) * 1000
    return [catalog.names.hold(hold.id) for hold in catalog.holds() if hold.until_ms < long_ago_ms]
