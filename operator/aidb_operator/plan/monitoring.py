"""A ServiceMonitor of the Prometheus operator, where that is installed and asked for."""

from __future__ import annotations

from aidb_operator import names
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Event, Outcome, View, objects


def plan(view: View) -> Outcome:
    settings = view.spec.monitoring.service_monitor
    if not settings.enabled:
        return Outcome()
    if kinds.SERVICE_MONITOR not in view.observed.available:
        message = "spec.monitoring.serviceMonitor: this cluster does not know that kind"
        return Outcome(events=[Event("ServiceMonitorUnknown", message, warning=True)])
    endpoint: Raw = {
        "port": "metrics",
        "interval": f"{settings.interval_seconds}s",
        # By it, alerts and dashboards tell clusters apart.
        "relabelings": [{"targetLabel": "cluster", "replacement": view.name}],
    }
    if view.spec.security.tls.enabled:
        endpoint |= {"scheme": "https", "tlsConfig": _tls(view), "authorization": _token(view)}
    monitor = made(
        view,
        kinds.SERVICE_MONITOR,
        view.name,
        spec={
            "selector": {"matchLabels": {names.CLUSTER: view.name, _MONITORED: "true"}},
            "endpoints": [endpoint],
        },
    )
    monitor["metadata"]["labels"] |= settings.labels
    return Outcome(actions=objects([monitor]))


# Of the one Service that has all pods.
_MONITORED = f"{names.GROUP}/monitored"


def _tls(view: View) -> Raw:
    def of(key: str) -> Raw:
        return {"name": view.names.client_tls, "key": key}

    return {
        "ca": {"secret": of("ca.crt")},
        "cert": {"secret": of("tls.crt")},
        "keySecret": of("tls.key"),
        "serverName": "server.aidb.internal",
    }


def _token(view: View) -> Raw:
    return {"type": "Bearer", "credentials": {"name": view.names.client_tls, "key": "token"}}
