"""What a coordinator is started with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from aidb.security.names import DEFAULT_DOMAIN
from aidb_coordinator.health import Rules
from aidb_coordinator.takeover import Rules as TakeoverRules
from aidb_coordinator.topology import Durability

# Of the coordinator's own Lease that a member's lease may be (D2): the rest is for renewing it in time.
LEASE_SHARE = 0.7
DURABILITIES = tuple(mode.name.lower() for mode in Durability)


class SettingsError(ValueError):
    """A setting is out of range or contradicts another or what is stored."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Milliseconds where the name says so. Raises SettingsError for values that cannot work.

    lease_ms: T (D1). heartbeat_ms: how often members report. heartbeat_timeout_ms: silence after which a
    member is failed.
    probe_*: active health probes; `probe_failures` silent or unready ones in a row fail a member,
    `probe_successes` end that.
    max_watchers: open WatchTopology streams.
    objects: URL of the store that the primaries archive to, which keeps the topology's history as well;
    empty = there is none, and nothing to take over from.
    takeover: whether a shard whose primary stays gone for `takeover_grace` seconds is taken over.
    same_machine: members run on this machine, so that a process that is gone is known by its pid.
    moves_per_shard: slot moves that a shard sends or takes at a time.
    moves_at_once: slot moves of all shards at a time, 0 = no limit besides: for shards that share a machine.
    fence_seconds: a move that has not drained in that time after its fence is aborted.
    adopt: begin a new cluster although the store has objects of its uid.
    recover_from: URL of the store that a new cluster is restored from, of another cluster's objects;
    `recover_uid` is that one's, empty = the only one there; `recover_time` (ms since 1970) to when, 0 = the
    newest. They count for a new cluster alone.
    tail_same_node: members of a tail set may share a node with the primary and each other (D5).
    autoscale: whether members are asked for their figures, and decisions made and shown.
    autoscale_interval: seconds between the samples of that.
    member_cores: that a member may use; what its CPU time is measured by.
    provisioner: who starts and stops programs for operations: none, local (the supervisor of aidb up), or
    kubernetes (the operator).
    replicas: of a shard, unless an operation says otherwise; with a provisioner.
    max_shards: that operations may make of the cluster.
    durability: the cluster's mode; None leaves it as it is stored (a new cluster: async).
    store: where what must outlive it is kept: file (`data`) or kubernetes (`namespace`, `cluster_name`); then
    `data` has what is for people only.
    identity: the pod's name. leader_lease: seconds, of the Lease that the leading coordinator holds.
    """

    data: Path
    listen: str
    metrics: str = ""
    tls: Path | None = None
    tokens: Path | None = None
    tls_domain: str = DEFAULT_DOMAIN
    health_listen: str = ""
    shards: int | None = None
    durability: str | None = None
    tail_same_node: bool = False
    cluster_uid: str = ""
    lease_ms: int = 10_000
    heartbeat_ms: int = 500
    heartbeat_timeout_ms: int = 2_500
    probe_period_ms: int = 500
    probe_timeout_ms: int = 1_000
    probe_failures: int = 3
    probe_successes: int = 1
    clock_bound_ms: int = 500
    max_watchers: int = 1_024
    grace_seconds: float = 10.0
    objects: str = ""
    takeover: str = "on"
    takeover_grace: float = 30.0
    same_machine: bool = False
    adopt: bool = False
    recover_from: str = ""
    recover_uid: str = ""
    recover_time: int = 0
    autoscale: str = "recommend"
    autoscale_interval: float = 15.0
    member_cores: float = 2.0
    moves_per_shard: int = 2
    moves_at_once: int = 0
    fence_seconds: float = 10.0
    provisioner: str = "none"
    replicas: int = 0
    max_shards: int = 1_000
    store: str = "file"
    namespace: str = ""
    cluster_name: str = ""
    identity: str = ""
    leader_lease: int = 15

    def __post_init__(self) -> None:
        positive = {
            name: getattr(self, name)
            for name in (
                "lease_ms",
                "heartbeat_ms",
                "heartbeat_timeout_ms",
                "probe_period_ms",
                "probe_timeout_ms",
                "probe_failures",
                "probe_successes",
                "clock_bound_ms",
                "max_watchers",
                "moves_per_shard",
                "fence_seconds",
                "max_shards",
            )
        }
        if (self.recover_uid or self.recover_time) and not self.recover_from:
            raise SettingsError("--recover-uid and --recover-time need --recover-from")
        if self.recover_time < 0:
            raise SettingsError(f"--recover-time {self.recover_time} is no time: give ms since 1970")
        if self.durability not in (None, *DURABILITIES):
            raise SettingsError(f"--durability {self.durability} is none of {', '.join(DURABILITIES)}")
        for name, value in positive.items():
            if value <= 0:
                raise SettingsError(f"--{name.replace('_', '-')} must be positive, not {value}")
        if not 0 <= self.takeover_grace <= 86_400:
            raise SettingsError(
                f"--takeover-grace {self.takeover_grace:g} is out of range: 0 to 86400 seconds"
            )
        if not 1 <= self.autoscale_interval <= 3_600:
            raise SettingsError(
                f"--autoscale-interval {self.autoscale_interval:g} is out of range: 1 to 3600"
            )
        if not 0 < self.member_cores <= 1_024:
            raise SettingsError(
                f"--member-cores {self.member_cores:g} is out of range: above 0, at most 1024"
            )
        if self.moves_at_once < 0:
            raise SettingsError(f"--moves-at-once {self.moves_at_once} is negative: 0 is no limit")
        if not 0 <= self.replicas <= 256:
            raise SettingsError(f"--replicas {self.replicas} is out of range: 0 to 256")
        self._check_store()
        if self.heartbeat_ms * 3 > self.lease_ms:
            raise SettingsError(
                f"--heartbeat-ms {self.heartbeat_ms} is more than a third of --lease-ms {self.lease_ms}: "
                "one lost heartbeat would end the lease"
            )
        if self.heartbeat_timeout_ms < 2 * self.heartbeat_ms:
            raise SettingsError(
                f"--heartbeat-timeout-ms {self.heartbeat_timeout_ms} is less than two heartbeats "
                f"of {self.heartbeat_ms}"
            )

    def _check_store(self) -> None:
        if self.store == "file":
            if self.provisioner == "kubernetes":
                raise SettingsError("--provisioner kubernetes goes with --store kubernetes")
            return
        for name in ("namespace", "cluster_name", "identity"):
            if not getattr(self, name):
                raise SettingsError(f"--store kubernetes needs --{name.replace('_', '-')}")
        if self.provisioner == "local":
            raise SettingsError("--provisioner local goes with --store file")
        least = self.lease_ms / 1000 / LEASE_SHARE
        if not least <= self.leader_lease <= 3_600:
            raise SettingsError(
                f"--leader-lease {self.leader_lease} is out of range: {math.ceil(least)} (--lease-ms "
                f"{self.lease_ms}, and time to renew it in) to 3600 seconds"
            )

    @property
    def place(self) -> str:
        """Where the topology is, for people."""
        if self.store == "file":
            return str(self.data)
        return f"ConfigMap {self.namespace}/{self.cluster_name}-topology"

    @property
    def mode(self) -> Durability | None:
        return None if self.durability is None else Durability[self.durability.upper()]

    @property
    def takeover_rules(self) -> TakeoverRules:
        enabled = bool(self.objects) and self.takeover == "on"
        return TakeoverRules(enabled, self.takeover_grace, self.lease_ms / 1000)

    @property
    def health_rules(self) -> Rules:
        return Rules(
            heartbeat_timeout=self.heartbeat_timeout_ms / 1000,
            failed_probes=self.probe_failures,
            good_probes=self.probe_successes,
            grace=2 * self.heartbeat_timeout_ms / 1000,
            clock_bound_ms=self.clock_bound_ms,
        )
