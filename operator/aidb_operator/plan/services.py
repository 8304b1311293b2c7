"""Addresses: of the coordinator that leads, of the cluster, of all nodes; and the nodes' account."""

from __future__ import annotations

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.names import COORDINATOR_PORT, METRICS_PORT, STORAGE_PORT
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Outcome, View, objects


def plan(view: View) -> Outcome:
    own, port = view.names, "TCP"
    coordinator = {**names.selector(view.name, "coordinator"), names.LEADER: "true"}
    return Outcome(
        actions=objects(
            [
                made(
                    view,
                    kinds.SERVICE,
                    own.coordinator,
                    "coordinator",
                    spec={
                        "selector": coordinator,
                        # Who leads is known by its label; it answers its programs before it is ready.
                        "publishNotReadyAddresses": True,
                        "ports": [
                            {
                                "name": "coordinator",
                                "port": COORDINATOR_PORT,
                                "targetPort": COORDINATOR_PORT,
                                "protocol": port,
                            }
                        ],
                    },
                ),
                made(
                    view,
                    kinds.SERVICE,
                    own.endpoint,
                    "router",
                    spec={
                        "selector": names.selector(view.name, "router"),
                        "ports": [
                            {
                                "name": "storage",
                                "port": STORAGE_PORT,
                                "targetPort": STORAGE_PORT,
                                "protocol": port,
                            }
                        ],
                    },
                ),
                made(
                    view,
                    kinds.SERVICE,
                    own.nodes,
                    spec={
                        "clusterIP": "None",
                        "publishNotReadyAddresses": True,
                        "selector": {names.CLUSTER: view.name},
                        "ports": [
                            {"name": "storage", "port": STORAGE_PORT, "protocol": port},
                            {"name": "metrics", "port": METRICS_PORT, "protocol": port},
                        ],
                    },
                ),
                made(view, kinds.SERVICE_ACCOUNT, own.nodes, automountServiceAccountToken=False),
            ]
        )
    )
