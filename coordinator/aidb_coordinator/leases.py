"""Leases of primaries (D1, D2).

A heartbeat renews the lease of the shard's published epoch for T. The node counts T from when it sent the
heartbeat, the coordinator from when it arrived, so the coordinator's end is never the earlier one. The
answer carries the term; a lease that would outlive the coordinator's own leadership is not granted. What is
kept here is not stored: a restarted coordinator has a new term and takes over no shard before T has passed,
so leases that it does not remember have ended by then.
A heartbeat of the published epoch is believed after a restart of the coordinator without a new
registration: an epoch is granted to one process only (or, never served, to the next one that holds the same
locked disk).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class Renewal(Enum):
    RENEWED = "renewed"
    # Another process or epoch holds the shard, or nobody knows this one: it has to ask for a new epoch.
    REGISTER_AGAIN = "register again"
    # Right process, but not now: the grant of its newer epoch is still on its way, or this leadership is
    # about to end.
    NOT_NOW = "not now"


@dataclass(frozen=True, slots=True)
class Lease:
    """Times in seconds of the coordinator's monotonic clock."""

    epoch: int
    process_id: str
    granted_at: float
    ends_at: float


@dataclass(slots=True)
class Leases:
    """`duration` is T in seconds, `leads_until` says when the coordinator's own leadership ends, as far as it
    is known now (monotonic seconds).
    """

    duration: float
    leads_until: Callable[[], float]
    _held: dict[int, Lease] = field(default_factory=dict)

    def grant(self, shard: int, epoch: int, process_id: str, now: float) -> None:
        """A registration: the newest process holds the shard."""
        self._held[shard] = Lease(epoch, process_id, granted_at=now, ends_at=now + self.duration)

    def renew(self, shard: int, published: int, epoch: int, process_id: str, now: float) -> Renewal:
        """A heartbeat of `process_id`, which serves `epoch`; `published` is the epoch in the topology."""
        lease = self._held.get(shard)
        if lease is not None and lease.process_id != process_id:
            return Renewal.REGISTER_AGAIN
        if epoch != published:
            awaits_grant = lease is not None and epoch < published and now < lease.granted_at + self.duration
            return Renewal.NOT_NOW if awaits_grant else Renewal.REGISTER_AGAIN
        if not self.covered(now):
            return Renewal.NOT_NOW
        granted_at = now if lease is None else lease.granted_at
        self._held[shard] = Lease(epoch, process_id, granted_at, now + self.duration)
        return Renewal.RENEWED

    def covered(self, now: float) -> bool:
        """Whether this leadership outlives a lease that is given out now (D2)."""
        return now + self.duration <= self.leads_until()

    def release(self, shard: int, process_id: str) -> None:
        """A clean stop."""
        lease = self._held.get(shard)
        if lease is not None and lease.process_id == process_id:
            del self._held[shard]

    def of(self, shard: int) -> Lease | None:
        return self._held.get(shard)
