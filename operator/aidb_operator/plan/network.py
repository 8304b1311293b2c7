"""NetworkPolicies: pods of a cluster accept, and open, only what they need.

| who | accepts | opens |
|---|---|---|
| all | health 7403 and metrics 9400, from anywhere | names (53) |
| router | storage 7400 from clients | primaries, replicas, the coordinator |
| replica | 7400 from clients and members | its primary, the coordinator |
| primary | 7400 from clients and members | primaries, replicas, the coordinator, the object store |
| coordinator | 7401 from members, clients, the operator | anything: no policy can name the API server |

What is selected is only the cluster's own programs. Policies can name no host, so the object store's port is
open to anywhere. Probes come from the kubelet, which network plugins let through, or from anywhere: the
health port says nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from aidb_operator import names
from aidb_operator.api.object_store import Bucket
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import Component
from aidb_operator.plan import pods
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Outcome, View, objects

PROGRAMS: tuple[Component, ...] = ("primary", "replica", "router", "coordinator")
OPERATOR = {"app.kubernetes.io/name": "aidb-operator"}
_DNS_PORT, _HTTPS_PORT = 53, 443

Peers = list[dict[str, Any]]


def plan(view: View) -> Outcome:
    """None of them when they are switched off; what there was is then pruned."""
    if not view.spec.security.network_policy.enabled:
        return Outcome()
    return Outcome(actions=objects(policies(view)))


def policies(view: View) -> Sequence[Raw]:
    clients = _clients(view)
    storage, coordination = _ports(names.STORAGE_PORT), _ports(names.COORDINATOR_PORT)

    def members(*components: Component) -> Peers:
        return [{"podSelector": _selector(view, *components)}]

    def policy(suffix: str, components: Iterable[Component], ingress: list[Any], egress: list[Any]) -> Raw:
        spec = {
            "podSelector": _selector(view, *components),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        }
        return made(view, kinds.NETWORK_POLICY, f"{view.name}-{suffix}", spec=spec)

    to_coordinator = {"to": members("coordinator"), "ports": coordination}
    anybody = {"ports": _ports(names.HEALTH_PORT, names.METRICS_PORT)}
    resolving = {
        "ports": [{"protocol": protocol, "port": _DNS_PORT} for protocol in ("UDP", "TCP")],
    }
    from_clients = _from(clients, members(*PROGRAMS), storage)
    return (
        policy("programs", PROGRAMS, [anybody], [resolving]),
        policy(
            "primary",
            ["primary"],
            from_clients,
            [
                {"to": members("primary", "replica"), "ports": storage},
                to_coordinator,
                *({"ports": _ports(*ports)} for ports in [_store_ports(view)] if ports),
            ],
        ),
        policy(
            "replica",
            ["replica"],
            from_clients,
            [{"to": members("primary", "replica"), "ports": storage}, to_coordinator],
        ),
        policy(
            "router",
            ["router"],
            from_clients,
            [{"to": members("primary", "replica"), "ports": storage}, to_coordinator],
        ),
        policy(
            "coordinator",
            ["coordinator"],
            _from(
                clients,
                [*members(*PROGRAMS), {"namespaceSelector": {}, "podSelector": {"matchLabels": OPERATOR}}],
                coordination,
            ),
            [{}],
        ),
    )


def _clients(view: View) -> Peers:
    """Who may use the cluster; empty: everybody who can reach it (and has a certificate)."""
    return [pods.dumped(peer) for peer in view.spec.security.network_policy.clients]


def _from(clients: Peers, members: Peers, ports: list[Any]) -> list[Any]:
    """With no clients named the rule has no `from`, which is everybody."""
    return [{"from": [*clients, *members], "ports": ports}] if clients else [{"ports": ports}]


def _selector(view: View, *components: Component) -> dict[str, Any]:
    return {
        "matchLabels": {names.CLUSTER: view.name},
        "matchExpressions": [{"key": names.COMPONENT, "operator": "In", "values": list(components)}],
    }


def _ports(*numbers: int) -> list[Any]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def _store_ports(view: View) -> list[int]:
    """Of the object stores that primaries read and write; the cloud's services of identity are on https."""
    stores: list[Bucket | None] = [view.spec.object_store]
    if view.spec.bootstrap is not None and view.spec.bootstrap.recovery is not None:
        stores.append(view.spec.bootstrap.recovery.source)
    found = [store for store in stores if store is not None]
    if not found:
        return []
    return sorted({_HTTPS_PORT, *(_port(store.endpoint) for store in found)})


def _port(endpoint: str | None) -> int:
    parts = urlsplit(endpoint or "https://")
    return parts.port or (80 if parts.scheme == "http" else _HTTPS_PORT)
