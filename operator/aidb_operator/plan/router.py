"""Routers: one Deployment, behind the cluster's one address."""

from __future__ import annotations

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.names import STORAGE_PORT
from aidb_operator.plan import hibernate, node, pods
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Desired, Outcome, View
from aidb_operator.plan.pods import Program

GRACE_SECONDS = 45


def plan(view: View) -> Outcome:
    program = _program(view)
    raw = made(
        view,
        kinds.DEPLOYMENT,
        view.names.router,
        "router",
        spec={
            "selector": {"matchLabels": names.selector(view.name, "router")},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 3,
            "template": pods.template(view, program),
        },
    )
    count = hibernate.count(view, "router", view.spec.routers.replicas)
    return Outcome(actions=[Desired(raw, replicas=count, inputs=pods.inputs(view, program))])


def _program(view: View) -> Program:
    settings = view.spec.routers
    return Program(
        component="router",
        command=("aidb-node", "router"),
        arguments=[*node.arguments(view), *node.threads(settings)],
        settings=settings,
        ports={"storage": STORAGE_PORT},
        tls_secret=view.names.node_tls,
        service_account=view.names.nodes,
        grace=GRACE_SECONDS,
        volumes=node.volumes(view),
        mounts=node.MOUNTS,
    )
