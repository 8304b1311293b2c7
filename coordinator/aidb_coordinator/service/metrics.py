"""What the coordinator knows, as metrics: its status, translated at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aidb.v1 import cluster_pb2 as pb


class ClusterCollector(Collector):
    """``status`` is called from the metrics' thread, and gives what the coordinator's thread sees."""

    def __init__(self, status: Callable[[], pb.ClusterStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield GaugeMetricFamily("aidb_shards", "Shards of the cluster", len(status.shards))
        yield GaugeMetricFamily("aidb_term", "The coordinator's term", status.term)
        yield GaugeMetricFamily("aidb_topology_version", "The newest topology", status.topology_version)
        yield GaugeMetricFamily("aidb_uptime_seconds", "Since it began", status.uptime_ms / 1000)
        yield _shard_states(status)
        yield _incarnations(status)
        yield _successors(status)
        yield _replicas(status)
        yield _member_states(status)
        yield from _loads(status)


def _incarnations(status: pb.ClusterStatus) -> Metric:
    family = GaugeMetricFamily("aidb_shard_incarnation", "Of the shard's primary", labels=("shard",))
    for shard in status.shards:
        family.add_metric((str(shard.id),), float(shard.incarnation))
    return family


def _successors(status: pb.ClusterStatus) -> Metric:
    family = GaugeMetricFamily(
        "aidb_shard_successor",
        "1 while another incarnation is wanted, to take over or to be handed over to",
        labels=("shard", "kind"),
    )
    for shard in status.shards:
        if shard.HasField("successor"):
            kind = "hand-over" if shard.successor.successor.planned else "takeover"
            family.add_metric((str(shard.id), kind), 1.0)
    return family


def _shard_states(status: pb.ClusterStatus) -> Metric:
    family = GaugeMetricFamily(
        "aidb_shard_state", "1 for the state that a shard is in", labels=("shard", "state")
    )
    for shard in status.shards:
        for name, number in pb.ShardState.items():
            family.add_metric((str(shard.id), _short(name, "SHARD_")), float(shard.state == number))
    return family


def _replicas(status: pb.ClusterStatus) -> Metric:
    family = GaugeMetricFamily("aidb_replicas_per_shard", "Healthy replicas", labels=("shard",))
    for shard in status.shards:
        healthy = sum(replica.state == pb.MEMBER_HEALTHY for replica in shard.replicas)
        family.add_metric((str(shard.id),), healthy)
    return family


def _member_states(status: pb.ClusterStatus) -> Metric:
    members = [
        *status.routers,
        *(shard.primary for shard in status.shards if shard.HasField("primary")),
        *(replica for shard in status.shards for replica in shard.replicas),
    ]
    counts = Counter((member.member.role, member.state) for member in members)
    family = GaugeMetricFamily("aidb_members", "Members by role and state", labels=("role", "state"))
    for role in (pb.ROLE_PRIMARY, pb.ROLE_REPLICA, pb.ROLE_ROUTER):
        for name, number in pb.MemberState.items():
            labels = (_short(pb.Role.Name(role), "ROLE_"), _short(name, "MEMBER_"))
            family.add_metric(labels, counts[role, number])
    return family


def _loads(status: pb.ClusterStatus) -> Iterator[Metric]:
    operations = GaugeMetricFamily(
        "aidb_shard_operations_per_second", "Asked of a shard's members of late", labels=("shard", "kind")
    )
    for shard in status.shards:
        if shard.HasField("load"):
            operations.add_metric((str(shard.id), "read"), float(shard.load.reads))
            operations.add_metric((str(shard.id), "write"), float(shard.load.writes))
    yield operations
    yield GaugeMetricFamily("aidb_hot_slots", "Slots that need a place of their own", len(status.hot_slots))


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
