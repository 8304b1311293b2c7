"""Who is healthy: pure functions from what was seen of a member to its state, and on to its shard's.

    heartbeats, probes -> Observation -> judge() -> Verdict; verdicts of a shard -> shard_state()

- A refused connection is proof: nobody listens, the member is failed at once. Silence needs thresholds.
- Whoever answers there after a refusal may be another process, started on a new disk and about to be refused
  by `registration`: only a heartbeat tells that the member's own process lives.
- A member that was not heard of since the coordinator started is UNKNOWN, which is readable: a restart of
  the coordinator must not empty the read sets. After the grace it is failed like any other.
- A replica is admitted to the read set when it reports HEALTHY, that is, when its stream is connected. One
  that was admitted and merely loses its stream stays: it still answers what its staleness allows, and
  forwards the rest.
- Silence counts only while somebody listens: what a coordinator was late itself is held against nobody.
- A registration starts a new observation; probes of the process before it are told apart by `process_id`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from aidb_coordinator.clocks import ClockWindow


class MemberState(IntEnum):
    """Numbers of aidb.v1.MemberState."""

    UNKNOWN = 0
    STARTING = 1
    HEALTHY = 2
    FAILED = 3
    LEFT = 4


class ShardState(IntEnum):
    """Numbers of aidb.v1.ShardState."""

    UNKNOWN = 0
    INITIALIZING = 1
    RUNNING = 2
    DEGRADED = 3
    STOPPED = 4


class Probe(Enum):
    SERVING = "serving"
    NOT_SERVING = "not serving"
    SILENT = "no answer"
    REFUSED = "connection refused"


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds.

    heartbeat_timeout: without a heartbeat for this long a member is failed.
    failed_probes: as many in a row without an answer, or answering that it does not serve, and a member is
    failed.
    good_probes: as many good ones in a row end that.
    grace: how long a member that was never heard of stays UNKNOWN.
    clock_bound_ms: C7.
    """

    heartbeat_timeout: float = 2.5
    failed_probes: int = 3
    good_probes: int = 1
    grace: float = 5.0
    clock_bound_ms: int = 500


@dataclass(slots=True)
class Observation:
    """What was seen of one process of a member. Times in seconds of the monotonic clock."""

    known_since: float
    process_id: str = ""
    pid: int = 0
    last_heartbeat: float | None = None
    reported: MemberState = MemberState.UNKNOWN
    reported_reason: str = ""
    keys: int = 0
    bytes: int = 0
    applied_lsn: int = 0
    staleness_ms: int = 0
    left: bool = False
    admitted: bool = False
    refused: bool = False
    heard_since_refusal: bool = True
    bad_probes: int = 0
    good_probes: int = 0
    last_probe: Probe = Probe.SERVING
    probe_failed: bool = False
    clock: ClockWindow = field(default_factory=ClockWindow)

    def heartbeat(self, now: float, state: MemberState, reason: str) -> None:
        self.last_heartbeat = now
        self.reported, self.reported_reason = state, reason
        self.heard_since_refusal = True

    def excuse(self, seconds: float, now: float) -> None:
        """So long nothing was read of what the member may have sent."""
        if self.last_heartbeat is None:
            self.known_since = min(now, self.known_since + seconds)
        else:
            self.last_heartbeat = min(now, self.last_heartbeat + seconds)

    def probe(self, result: Probe, rules: Rules) -> None:
        """The newest result of an active probe."""
        self.last_probe = result
        self.refused = result is Probe.REFUSED
        if self.refused:
            self.heard_since_refusal = False
        if result is Probe.SERVING:
            self.bad_probes, self.good_probes = 0, self.good_probes + 1
        else:
            self.bad_probes, self.good_probes = self.bad_probes + 1, 0
        if self.bad_probes >= rules.failed_probes:
            self.probe_failed = True
        elif self.good_probes >= rules.good_probes:
            self.probe_failed = False


@dataclass(frozen=True, slots=True)
class Verdict:
    state: MemberState
    reason: str = ""


def judge(seen: Observation, now: float, rules: Rules) -> Verdict:
    """The state of a member by what was seen of it up to `now`."""
    if seen.left:
        return Verdict(MemberState.LEFT, "left")
    if seen.refused or not seen.heard_since_refusal:
        return Verdict(MemberState.FAILED, Probe.REFUSED.value)
    if seen.last_heartbeat is None and seen.process_id == "":
        if now - seen.known_since < rules.grace:
            return Verdict(MemberState.UNKNOWN, "not heard of since the coordinator started")
        return Verdict(MemberState.FAILED, "not heard of since the coordinator started")
    silent = now - (seen.known_since if seen.last_heartbeat is None else seen.last_heartbeat)
    if silent > rules.heartbeat_timeout:
        return Verdict(MemberState.FAILED, f"no heartbeat for more than {rules.heartbeat_timeout:g} s")
    if abs(skew := seen.clock.skew_ms()) > rules.clock_bound_ms:
        return Verdict(MemberState.FAILED, f"its clock is more than {rules.clock_bound_ms} ms {_side(skew)}")
    if seen.reported is MemberState.FAILED:
        return Verdict(MemberState.FAILED, seen.reported_reason or "says so itself")
    starting = seen.reported in (MemberState.UNKNOWN, MemberState.STARTING)
    if starting and not seen.admitted:
        return Verdict(MemberState.STARTING, seen.reported_reason)
    if seen.probe_failed:
        return Verdict(MemberState.FAILED, f"probes: {seen.last_probe.value}")
    return Verdict(MemberState.HEALTHY, seen.reported_reason)


def _side(skew_ms: int) -> str:
    return "ahead" if skew_ms > 0 else "behind"


def shard_state(primary: Verdict | None, replicas: Iterable[tuple[str, Verdict]]) -> tuple[ShardState, str]:
    """The state of a shard and its reason; `replicas` by name. `primary` is None when none has ever
    registered.
    """
    if primary is None:
        return ShardState.INITIALIZING, "no primary has registered yet"
    if primary.state in (MemberState.FAILED, MemberState.LEFT):
        return ShardState.STOPPED, f"primary: {primary.reason}"
    if primary.state is not MemberState.HEALTHY:
        return ShardState.INITIALIZING, f"primary: {primary.reason or primary.state.name.lower()}"
    if primary.reason:
        return ShardState.DEGRADED, f"primary: {primary.reason}"
    for name, replica in replicas:
        if replica.state not in (MemberState.HEALTHY, MemberState.UNKNOWN):
            return ShardState.DEGRADED, f"{name}: {replica.reason or replica.state.name.lower()}"
    return ShardState.RUNNING, ""
