"""The object store of a cluster with its faults: as its primaries use it, and as who recovers does."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from aidb.objects.file import FileStore
from aidb.objects.opening import connect
from aidb.objects.retrying import Patience, RetryingStore
from aidb.objects.store import ObjectStore
from tests.evidence.durability.plan import Store, Trouble
from tests.objects import versitygw
from tests.objects.fault_proxy import FaultProxy
from tests.objects.faults import FaultyStore, Odds
from tests.objects.servers import BUCKET

_PATIENT = Patience(total=60.0, first_pause=0.01, longest_pause=0.1)
# Seconds that a client of S3 waits for an answer, and after which one that will not come breaks.
_TIMEOUT = 0.5
_STALL = 0.6


def odds_of(trouble: Trouble) -> Odds:
    """Of each call."""
    match trouble:
        case Trouble.NONE:
            return Odds()
        case Trouble.AWAY:
            return Odds(error=1.0)
        case Trouble.SLOW:
            return Odds(slow=0.7, slow_seconds=0.15)
        case Trouble.MIXED:
            return Odds(error=0.1, lost_answer=0.1, conflict=0.1, slow=0.1)
        case _:
            return Odds(**{trouble.value: 0.2})


class Second(Protocol):
    """A store for one cluster after the other."""

    @property
    def url(self) -> str:
        """What primaries are given."""

    def prepare(self, trouble: Trouble, seed: int) -> dict[str, Any] | None:
        """For the next process; what it has to do to its store itself. The store is healthy until `begin`."""

    def begin(self, after: float) -> None:
        """The trouble begins in so many seconds."""

    def recovering(self, trouble: Trouble, seed: int) -> ObjectStore:
        """For who recovers. An absent store has come back by then."""

    def met(self) -> Counter[str]:
        """Faults so far."""


class _File:
    """A directory: its faults happen within the processes that use it."""

    def __init__(self, root: Path) -> None:
        self.url = f"file://{root / 'objects'}"
        self._path = root / "objects"
        self._told = root / "faults"
        self._begin = root / "faults-begin"
        self._own: Counter[str] = Counter()
        self._stores: list[FaultyStore] = []

    def prepare(self, trouble: Trouble, seed: int) -> dict[str, Any] | None:
        self._begin.unlink(missing_ok=True)
        if trouble is Trouble.NONE:
            return None
        odds = asdict(odds_of(trouble))
        return {"odds": odds, "seed": seed, "begin": str(self._begin), "told": str(self._told)}

    def begin(self, after: float) -> None:
        partial = self._begin.with_name(f"{self._begin.name}.partial")
        partial.write_text(str(time.monotonic() + after))
        partial.replace(self._begin)

    def recovering(self, trouble: Trouble, seed: int) -> ObjectStore:
        found = Trouble.NONE if trouble is Trouble.AWAY else trouble
        faulty = FaultyStore(FileStore(self._path), odds_of(found), seed)
        self._stores.append(faulty)
        return RetryingStore(faulty, _PATIENT)

    def met(self) -> Counter[str]:
        told = self._told.read_text().split() if self._told.exists() else []
        return sum((store.met for store in self._stores), Counter(told))


class _S3:
    """A real server behind a proxy that fails."""

    def __init__(self, proxy: FaultProxy, prefix: str) -> None:
        self._proxy = proxy
        self._odds = Odds()
        self.url = (
            f"s3://{BUCKET}/{prefix}?endpoint={proxy.endpoint}&region={versitygw.REGION}&style=path"
            f"&timeout={_TIMEOUT}"
        )

    def prepare(self, trouble: Trouble, seed: int) -> dict[str, Any] | None:
        self._odds = odds_of(trouble)
        self._proxy.trouble(Odds())
        return None

    def begin(self, after: float) -> None:
        self._proxy.trouble(self._odds, after)

    def recovering(self, trouble: Trouble, seed: int) -> ObjectStore:
        self._proxy.trouble(Odds() if trouble is Trouble.AWAY else odds_of(trouble))
        return RetryingStore(connect(self.url), _PATIENT)

    def met(self) -> Counter[str]:
        return self._proxy.met


@contextmanager
def opened(kind: Store, root: Path, endpoint: str, seed: int) -> Iterator[Second]:
    """``root``: the cluster's directory, whose name is its own. ``endpoint``: of the S3 server."""
    if kind is Store.FILE:
        yield _File(root)
        return
    with FaultProxy(endpoint, seed, ignores_conditions=kind is Store.UNFENCED, stall=_STALL) as proxy:
        yield _S3(proxy, root.name)


@contextmanager
def server(root: Path, wanted: bool) -> Iterator[str]:
    """The endpoint of a real S3 server for all clusters; empty = none."""
    if not wanted:
        yield ""
        return
    os.environ |= {"AWS_ACCESS_KEY_ID": versitygw.ACCESS, "AWS_SECRET_ACCESS_KEY": versitygw.SECRET}
    with versitygw.running(versitygw.install(), root / "s3") as running:
        yield running.endpoint
