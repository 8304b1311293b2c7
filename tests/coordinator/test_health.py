"""Scripts of what is seen of a member, and the state it must be in after each step."""

from __future__ import annotations

import pytest
from aidb_coordinator.health import MemberState, Probe, Rules, ShardState, Verdict, shard_state
from aidb_coordinator.roster import Roster

RULES = Rules(heartbeat_timeout=2.0, failed_probes=3, good_probes=2, grace=5.0, clock_bound_ms=500)
UNKNOWN, STARTING, HEALTHY, FAILED, LEFT = MemberState
NAME = "shard-0-replica-0"


class Story:
    """A member from the coordinator's start at time 0; each step takes the clock on."""

    def __init__(self) -> None:
        self.roster = Roster(RULES, version=0)
        self.roster.follow([NAME], 0.0)
        self.now = 0.0

    @property
    def state(self) -> MemberState:
        return self.roster.verdict(NAME).state

    def after(self, seconds: float) -> MemberState:
        self.now += seconds
        self.roster.tick(self.now)
        return self.state

    def registers(self, process: str = "p") -> MemberState:
        self.roster.registered(NAME, process, 1, self.now)
        return self.state

    def beats(self, state: MemberState = HEALTHY, reason: str = "", behind_ms: int = 0) -> MemberState:
        seen = self.roster.observation(NAME)
        assert seen is not None
        seen.process_id = seen.process_id or "p"
        seen.clock.observe(1_000_000 - behind_ms, 1_000_000)
        seen.heartbeat(self.now, state, reason)
        self.roster.settle(NAME, self.now)
        return self.state

    def probed(self, result: Probe, process: str = "p") -> MemberState:
        self.roster.probed(NAME, process, result, self.now)
        return self.state


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def healthy(story: Story) -> Story:
    assert story.registers() is STARTING
    assert story.beats() is HEALTHY
    return story


def test_after_a_restart_of_the_coordinator_members_are_readable_until_the_grace_ends(story: Story) -> None:
    assert story.state is UNKNOWN
    assert story.after(4.9) is UNKNOWN
    assert story.after(0.2) is FAILED
    assert story.beats() is HEALTHY


def test_after_a_restart_of_the_coordinator_a_refused_connection_is_proof(story: Story) -> None:
    assert story.probed(Probe.SERVING, process="") is UNKNOWN
    assert story.probed(Probe.REFUSED, process="") is FAILED


def test_silence_fails_after_the_timeout_and_a_heartbeat_heals(healthy: Story) -> None:
    assert healthy.after(2.0) is HEALTHY
    assert healthy.after(0.1) is FAILED
    assert healthy.beats() is HEALTHY


def test_a_start_that_never_reports_fails(story: Story) -> None:
    story.registers()
    assert story.after(2.1) is FAILED


def test_a_refused_probe_fails_at_once_although_heartbeats_arrived(healthy: Story) -> None:
    assert healthy.probed(Probe.REFUSED) is FAILED
    assert healthy.beats() is FAILED, "it can be heard, but nobody can reach it"
    assert healthy.probed(Probe.SERVING) is HEALTHY


def test_who_answers_after_a_refusal_may_be_another_process(healthy: Story) -> None:
    """Started again on a new disk, for instance: it listens for a moment, until its registration is
    refused.
    """
    healthy.probed(Probe.REFUSED)
    assert healthy.probed(Probe.SERVING) is FAILED
    assert healthy.after(0.1) is FAILED
    assert healthy.probed(Probe.SERVING) is FAILED
    assert healthy.beats() is HEALTHY, "it was the same one"


def test_silent_or_unready_probes_need_three_in_a_row_and_two_good_ones_end_that(healthy: Story) -> None:
    assert healthy.probed(Probe.SILENT) is HEALTHY
    assert healthy.probed(Probe.NOT_SERVING) is HEALTHY
    assert healthy.probed(Probe.SERVING) is HEALTHY
    for result, state in ((Probe.SILENT, HEALTHY), (Probe.SILENT, HEALTHY), (Probe.SILENT, FAILED)):
        assert healthy.probed(result) is state
    assert healthy.probed(Probe.SERVING) is FAILED
    assert healthy.probed(Probe.SERVING) is HEALTHY


def test_a_probe_of_the_process_before_says_nothing_of_the_new_one(healthy: Story) -> None:
    assert healthy.registers("q") is STARTING
    assert healthy.probed(Probe.REFUSED, process="p") is STARTING


def test_a_failed_replica_comes_back_when_its_stream_is_connected(healthy: Story) -> None:
    healthy.probed(Probe.REFUSED)
    assert healthy.registers("q") is STARTING
    assert healthy.beats(STARTING, "no stream") is STARTING
    assert healthy.beats(HEALTHY) is HEALTHY


def test_a_replica_that_loses_only_its_stream_stays_readable(healthy: Story) -> None:
    assert healthy.beats(STARTING, "no stream") is HEALTHY
    assert healthy.after(2.1) is FAILED
    assert healthy.beats(STARTING, "no stream") is STARTING, "failed since: it has to be admitted again"


def test_what_a_member_says_of_itself_counts(healthy: Story) -> None:
    assert healthy.beats(FAILED, "poisoned") is FAILED
    assert healthy.roster.verdict(NAME).reason == "poisoned"


@pytest.mark.parametrize(
    ("behind_ms", "state"), [(-600, FAILED), (-400, HEALTHY), (400, HEALTHY), (600, FAILED)]
)
def test_a_clock_beyond_the_bound_fails_and_is_forgiven_when_set_right(
    healthy: Story, behind_ms: int, state: MemberState
) -> None:
    for _ in range(4):
        healthy.beats(behind_ms=behind_ms)
    assert healthy.state is state
    for _ in range(4):
        healthy.beats()
    assert healthy.state is HEALTHY


def test_leaving_is_neither_failure_nor_undone_by_a_probe(healthy: Story) -> None:
    healthy.roster.left(NAME, healthy.now)
    assert healthy.state is LEFT
    assert healthy.probed(Probe.REFUSED) is LEFT
    assert healthy.after(100) is LEFT
    assert healthy.registers("q") is STARTING


def test_the_version_rises_with_changes_of_state_or_reason_only(healthy: Story) -> None:
    version = healthy.roster.version
    healthy.after(1.0)
    healthy.beats()
    healthy.probed(Probe.SERVING)
    assert healthy.roster.version == version
    healthy.beats(HEALTHY, "stalled")
    assert healthy.roster.version == version + 1
    healthy.roster.follow([NAME, "other"], healthy.now)
    healthy.roster.follow(["other"], healthy.now)
    assert healthy.roster.version == version + 3
    assert healthy.roster.observation(NAME) is None


GOOD, GONE = Verdict(HEALTHY), Verdict(FAILED, "connection refused")


@pytest.mark.parametrize(
    ("primary", "replicas", "state", "reason"),
    [
        (None, [], ShardState.INITIALIZING, "no primary"),
        (Verdict(UNKNOWN, "not heard of"), [], ShardState.INITIALIZING, "not heard of"),
        (Verdict(STARTING), [GOOD], ShardState.INITIALIZING, "starting"),
        (GOOD, [], ShardState.RUNNING, ""),
        (GOOD, [GOOD, Verdict(UNKNOWN)], ShardState.RUNNING, ""),
        (GOOD, [GOOD, GONE], ShardState.DEGRADED, "replica-1: connection refused"),
        (GOOD, [Verdict(STARTING)], ShardState.DEGRADED, "replica-0: starting"),
        (GOOD, [Verdict(LEFT, "left")], ShardState.DEGRADED, "replica-0: left"),
        (Verdict(HEALTHY, "stalled"), [GOOD], ShardState.DEGRADED, "stalled"),
        (GONE, [GOOD], ShardState.STOPPED, "connection refused"),
        (Verdict(LEFT, "left"), [GOOD], ShardState.STOPPED, "left"),
    ],
)
def test_the_state_of_a_shard(
    primary: Verdict | None, replicas: list[Verdict], state: ShardState, reason: str
) -> None:
    named = [(f"replica-{number}", verdict) for number, verdict in enumerate(replicas)]
    found, why = shard_state(primary, named)
    assert found is state
    assert reason in why


def test_what_the_coordinator_was_late_itself_is_not_held_against_members(healthy: Story) -> None:
    healthy.now += 30.0
    healthy.roster.tick(healthy.now, late=29.0)
    assert healthy.state is HEALTHY, "nobody read what it may have sent"
    assert healthy.after(1.5) is FAILED, "one second of its silence was heard, and then one and a half"
    healthy.beats()
    healthy.now += 1.0
    healthy.roster.tick(healthy.now, late=5.0)
    assert healthy.after(1.9) is HEALTHY and healthy.after(0.2) is FAILED, "nothing is excused in advance"


def test_a_start_is_given_as_much_time_by_a_late_coordinator(story: Story) -> None:
    story.registers()
    story.now += 30.0
    story.roster.tick(story.now, late=29.5)
    assert story.state is STARTING
    assert story.after(2.0) is FAILED
