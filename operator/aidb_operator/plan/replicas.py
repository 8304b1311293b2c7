"""Cache replicas: a Deployment for each shard, as many as its ShardGroup says."""

from __future__ import annotations

from aidb_operator import names
from aidb_operator.api import quantity
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import STORAGE_PORT
from aidb_operator.plan import hibernate, node, pods, wanted
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Desired, Outcome, View
from aidb_operator.plan.pods import Program

GRACE_SECONDS = 45


def plan(view: View) -> Outcome:
    return Outcome(
        actions=[
            deployment(view, shard, hibernate.count(view, "replica", wanted.replicas(view, shard)))
            for shard in wanted.shards(view)
        ]
    )


def deployment(view: View, shard: int, count: int) -> Desired:
    program = _program(view, shard)
    raw = made(
        view,
        kinds.DEPLOYMENT,
        view.names.replica(shard),
        "replica",
        shard,
        spec={
            "selector": {"matchLabels": names.selector(view.name, "replica", shard)},
            # A new one is cold: it comes before an old one goes.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 3,
            "template": pods.template(view, program),
        },
    )
    return Desired(raw, replicas=count, inputs=pods.inputs(view, program))


def _program(view: View, shard: int) -> Program:
    settings = view.spec.replica
    arguments = [*node.arguments(view), "--shard", str(shard), "--warm", "siblings"]
    arguments += node.threads(settings)
    of_container = pods.memory(settings)
    if settings.cache_bytes is not None:
        arguments += ["--cache-bytes", str(quantity.whole(settings.cache_bytes))]
    elif of_container is not None:
        arguments += ["--cache-bytes", str(pods.budget(of_container))]
    return Program(
        component="replica",
        command=("aidb-node", "replica"),
        arguments=arguments,
        settings=settings,
        ports={"storage": STORAGE_PORT},
        tls_secret=view.names.node_tls,
        service_account=view.names.nodes,
        grace=GRACE_SECONDS,
        volumes=node.volumes(view),
        mounts=node.MOUNTS,
        shard=shard,
        affinity=_elsewhere(view, shard),
    )


def _elsewhere(view: View, shard: int) -> Raw:
    """Not on the primary's node, if there is another: who keeps the log's tail has to be elsewhere (D5)."""
    selector = {"matchLabels": names.selector(view.name, "primary", shard)}
    term = {"labelSelector": selector, "topologyKey": names.HOSTNAME}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
