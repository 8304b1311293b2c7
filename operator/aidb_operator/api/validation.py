"""What the CRDs' schemas and CEL cannot say. Pure: each reconcile asks, and a condition names the fields.

It repeats nothing that the API server refuses; `unreadable` is for objects that an earlier CRD let in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aidb_coordinator.autoscaler.rules import RulesError
from pydantic import ValidationError

from aidb_operator.api import quantity
from aidb_operator.api.cluster import ClusterSpec, Primary
from aidb_operator.api.model import Model
from aidb_operator.api.object_store import Bucket
from aidb_operator.api.pod import Affinity, NodeRequirement, NodeSelectorTerm, PodSettings

LABEL_NAME_MOST = 63
ANNOTATIONS_MOST = 256 * 1024
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PLAIN_RESOURCES = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """`field` is a path, as the API server writes it: spec.primary.resources.requests[memory]."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def unreadable(kind: type[Model], body: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Why `body` cannot be read as a `kind`; empty when it can."""
    try:
        kind.model_validate(body)
    except ValidationError as error:
        return tuple(sorted(Problem(_path(one["loc"]), one["msg"]) for one in error.errors()))
    return ()


def problems(spec: ClusterSpec) -> tuple[Problem, ...]:
    """Of an AidbCluster that can be read, by field."""
    return tuple(sorted(set(_problems(spec))))


def sentence(found: tuple[Problem, ...]) -> str:
    """For the message of a condition."""
    return "; ".join(map(str, found))


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _problems(spec: ClusterSpec) -> Iterator[Problem]:
    for name in ("primary", "replica", "routers", "coordinators"):
        yield from _pods(f"spec.{name}", getattr(spec, name))
    yield from _memory(spec)
    if spec.object_store:
        yield from _bucket("spec.objectStore", spec.object_store)
    yield from _recovery(spec)
    yield from _clients(spec)
    try:
        spec.autoscaling.rules_of_autoscaler()
    except RulesError as error:
        yield Problem("spec.autoscaling", str(error))


def _pods(path: str, settings: PodSettings) -> Iterator[Problem]:
    yield from _resources(f"{path}.resources", settings)
    for name, keys in (
        ("nodeSelector", settings.node_selector),
        ("podLabels", settings.pod_labels),
        ("podAnnotations", settings.pod_annotations),
    ):
        for key in keys:
            yield from _label_key(f"{path}.{name}[{key}]", key)
    if sum(len(k) + len(v) for k, v in settings.pod_annotations.items()) > ANNOTATIONS_MOST:
        yield Problem(f"{path}.podAnnotations", f"more than {ANNOTATIONS_MOST} bytes together")
    for index, toleration in enumerate(settings.tolerations):
        if toleration.key:
            yield from _label_key(f"{path}.tolerations[{index}].key", toleration.key)
    seen = set()
    for index, spread in enumerate(settings.topology_spread_constraints):
        here = f"{path}.topologySpreadConstraints[{index}]"
        pair = (spread.topology_key, spread.when_unsatisfiable)
        if pair in seen:
            yield Problem(here, f"{pair[0]} and {pair[1]} are given twice")
        seen.add(pair)
        yield from _label_key(f"{here}.topologyKey", spread.topology_key)
    if settings.affinity:
        yield from _affinity(f"{path}.affinity", settings.affinity)


def _resources(path: str, settings: PodSettings) -> Iterator[Problem]:
    requests, limits = settings.resources.requests, settings.resources.limits
    for kind, given in (("requests", requests), ("limits", limits)):
        for name, text in given.items():
            where = f"{path}.{kind}[{name}]"
            if name not in PLAIN_RESOURCES and not name.startswith("hugepages-") and "/" not in name:
                yield Problem(
                    where, f"no resource of Kubernetes: {', '.join(PLAIN_RESOURCES)} or DOMAIN/NAME"
                )
            if name != "cpu" and quantity.value(text) % 1:
                yield Problem(where, f"{text} is no whole number")
            if name == "memory" and 0 < quantity.value(text) < 1 << 20:
                yield Problem(where, f"{text} is less than a megabyte: is a suffix such as Mi missing?")
    for name in requests.keys() & limits.keys():
        if quantity.value(requests[name]) > quantity.value(limits[name]):
            yield Problem(
                f"{path}.requests[{name}]", f"{requests[name]} is above the limit of {limits[name]}"
            )


def _memory(spec: ClusterSpec) -> Iterator[Problem]:
    """A cache that its container cannot hold ends with the container being killed, again and again."""
    for path, settings in (("spec.primary", spec.primary), ("spec.replica", spec.replica)):
        budgets = {"cacheBytes": settings.cache_bytes}
        if isinstance(settings, Primary):
            budgets["memoryBytes"] = settings.memory_bytes
        limit = settings.resources.limits.get("memory")
        for name, text in budgets.items():
            if text and limit and quantity.value(text) >= quantity.value(limit):
                yield Problem(
                    f"{path}.{name}",
                    f"{text} leaves nothing of the memory limit of {limit} for the program itself",
                )


def _bucket(path: str, bucket: Bucket) -> Iterator[Problem]:
    name = urlsplit(bucket.url).netloc
    if ".." in name or ".-" in name or "-." in name:
        yield Problem(f"{path}.url", f"{name} is no name of a bucket: '.' stands between letters and digits")
    elif _is_address(name):
        yield Problem(f"{path}.url", f"{name} is an address, not a bucket: servers are given as endpoint")
    if bucket.endpoint:
        try:
            port = urlsplit(bucket.endpoint).port
        except ValueError:
            port = 0
        if port == 0:
            yield Problem(f"{path}.endpoint", "a port is 1 to 65535")


def _recovery(spec: ClusterSpec) -> Iterator[Problem]:
    """The pods reach both stores with one set of credentials."""
    recovery = spec.bootstrap.recovery if spec.bootstrap else None
    if recovery is None or recovery.source is None:
        return
    yield from _bucket("spec.bootstrap.recovery.source", recovery.source)
    if spec.object_store is None:
        return
    for name, own, other in (
        ("credentialsSecret", spec.object_store.credentials_secret, recovery.source.credentials_secret),
        ("caSecret", spec.object_store.ca_secret, recovery.source.ca_secret),
    ):
        if other is not None and other != own:
            yield Problem(
                f"spec.bootstrap.recovery.source.{name}",
                f"{other} is not that of spec.objectStore: both are reached with the same one",
            )


def _clients(spec: ClusterSpec) -> Iterator[Problem]:
    for index, peer in enumerate(spec.security.network_policy.clients):
        block = peer.ip_block
        if block is None:
            continue
        path = f"spec.security.networkPolicy.clients[{index}].ipBlock"
        networks = {}
        for where, text in (
            ("cidr", block.cidr),
            *((f"except[{i}]", t) for i, t in enumerate(block.except_)),
        ):
            try:
                networks[where] = ipaddress.ip_network(text)
            except ValueError as error:
                yield Problem(f"{path}.{where}", str(error))
        whole = networks.pop("cidr", None)
        for where, part in networks.items():
            if whole is not None and not _within(part, whole):
                yield Problem(f"{path}.{where}", f"{part} is not within {whole}")


def _within(part: Network, whole: Network) -> bool:
    if isinstance(part, ipaddress.IPv4Network):
        return isinstance(whole, ipaddress.IPv4Network) and part != whole and part.subnet_of(whole)
    return isinstance(whole, ipaddress.IPv6Network) and part != whole and part.subnet_of(whole)


def _affinity(path: str, affinity: Affinity) -> Iterator[Problem]:
    if affinity.node_affinity is None:
        return
    here = f"{path}.nodeAffinity"
    required = affinity.node_affinity.required_during_scheduling_ignored_during_execution
    if required:
        for index, term in enumerate(required.node_selector_terms):
            yield from _term(
                f"{here}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{index}]", term
            )
    for index, one in enumerate(affinity.node_affinity.preferred_during_scheduling_ignored_during_execution):
        yield from _term(
            f"{here}.preferredDuringSchedulingIgnoredDuringExecution[{index}].preference", one.preference
        )


def _term(path: str, term: NodeSelectorTerm) -> Iterator[Problem]:
    for index, requirement in enumerate(term.match_expressions):
        yield from _bound(f"{path}.matchExpressions[{index}]", requirement)
    for index, requirement in enumerate(term.match_fields):
        here = f"{path}.matchFields[{index}]"
        if requirement.key != "metadata.name":
            yield Problem(f"{here}.key", "of a node's fields only metadata.name can be asked for")
        if requirement.operator not in ("In", "NotIn") or len(requirement.values) != 1:
            yield Problem(f"{here}.values", "fields are compared by In or NotIn with one value")


def _bound(path: str, requirement: NodeRequirement) -> Iterator[Problem]:
    if requirement.operator not in ("Gt", "Lt"):
        return
    if len(requirement.values) != 1 or not requirement.values[0].lstrip("-").isdigit():
        yield Problem(f"{path}.values", f"{requirement.operator} takes one whole number")


def _label_key(path: str, key: str) -> Iterator[Problem]:
    name = key.rsplit("/", 1)[-1]
    if len(name) > LABEL_NAME_MOST:
        yield Problem(
            path, f"the name of a key has at most {LABEL_NAME_MOST} characters, this one {len(name)}"
        )
    if len(key) - len(name) > 254:
        yield Problem(path, "the prefix of a key has at most 253 characters")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
