"""Pod templates: what the pods of all roles share. They run under the pod security standard `restricted`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aidb_operator import names
from aidb_operator.api import quantity
from aidb_operator.api.pod import PodSettings
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import HEALTH_PORT, METRICS_PORT, Component
from aidb_operator.plan.metadata import digest
from aidb_operator.plan.object_store import Access
from aidb_operator.plan.outcome import View

# Numeric, for runAsNonRoot; the images' user.
USER = 65532
CONTAINER = "aidb"
TLS_PATH = "/etc/aidb/tls"
TOKENS_PATH = "/etc/aidb/tokens"
# A program listens for probes when it serves, or could: one that restores, or waits for its turn to take
# over, may take as long as its shard is large. Only then may a probe end it.
START_SECONDS = 2
START_FAILURES = 43_200


@dataclass(frozen=True, slots=True)
class Program:
    """`arguments` after the shared ones. `ports` beside health and metrics, by name. `grace`: seconds until
    the kubelet kills it. `volumes` and `mounts` beside the shared ones.
    """

    component: Component
    command: Sequence[str]
    arguments: Sequence[str]
    settings: PodSettings
    ports: Mapping[str, int]
    tls_secret: str
    service_account: str
    grace: int
    shard: int | None = None
    incarnation: int | None = None
    access: Access = field(default_factory=Access)
    volumes: Sequence[Raw] = ()
    mounts: Sequence[Raw] = ()
    affinity: Raw | None = None
    token: bool = False


def image(view: View) -> str:
    """Of all programs; empty when neither the spec nor the operator names one. Where the spec names none, a
    cluster keeps the one that it was made with: another default, of an operator of another version, restarts
    nothing.
    """
    if view.spec.image:
        return view.spec.image
    made = view.observed.get(kinds.DEPLOYMENT, view.names.coordinator)
    if made is not None:
        containers = made["spec"]["template"]["spec"]["containers"]
        found = next((one["image"] for one in containers if one["name"] == CONTAINER), "")
        return str(found) or view.default_image
    return view.default_image


def template(view: View, program: Program) -> Raw:
    settings, spec = program.settings, view.spec
    labels = {
        **settings.pod_labels,
        **names.labels(view.name, program.component, program.shard, program.incarnation),
    }
    pod: Raw = {
        "serviceAccountName": settings.service_account_name or program.service_account,
        "automountServiceAccountToken": program.token,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": program.grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(view, program)],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *_secrets(view, program), *program.volumes],
        "topologySpreadConstraints": _spread(view, program),
    }
    affinity = dumped(settings.affinity) if settings.affinity is not None else program.affinity
    optional = {
        "imagePullSecrets": [{"name": name} for name in spec.image_pull_secrets],
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dumped(one) for one in settings.tolerations],
        "affinity": affinity,
        "priorityClassName": settings.priority_class_name,
    }
    pod |= {name: value for name, value in optional.items() if value}
    metadata: Raw = {"labels": labels}
    annotations = {**settings.pod_annotations, names.INPUTS: inputs(view, program)}
    metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": pod}


def inputs(view: View, program: Program) -> str:
    """Hash of what a user may change about these pods, and of nothing that only a version of the operator
    changes.
    """
    spec = view.spec
    of_role: Raw = {}
    if program.component in ("primary", "coordinator"):
        of_role |= {"backup": dumped(spec.backup_settings), "durability": spec.durability.value}
        of_role |= {"objects": None if spec.object_store is None else dumped(spec.object_store)}
    if program.component == "primary":
        of_role |= {"sync": spec.sync.value}
    if program.component == "coordinator":
        of_role |= {"takeover": dumped(spec.takeover)}
    settings = dumped(program.settings)
    settings.pop("replicas", None)
    # Only where somebody says so: clusters that are older than this need no restart.
    observed = {"logs": dumped(spec.logs), "tracing": dumped(spec.tracing)}
    of_role |= {name: said for name, said in observed.items() if said}
    return digest(
        {
            "image": image(view),
            "pull": [spec.image_pull_policy.value, list(spec.image_pull_secrets)],
            "settings": settings,
            "tls": spec.security.tls.enabled,
            **of_role,
        }
    )


def dumped(model: Any) -> Raw:
    """As it was written in YAML."""
    document: Raw = model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return document


def memory(settings: PodSettings) -> int | None:
    """Bytes that a container may use; None where nothing is said."""
    resources = settings.resources
    text = resources.limits.get("memory") or resources.requests.get("memory")
    return None if text is None else quantity.whole(text)


def cores(settings: PodSettings) -> float | None:
    text = settings.resources.limits.get("cpu") or settings.resources.requests.get("cpu")
    return None if text is None else float(quantity.value(text))


def budget(of_container: int) -> int:
    """What a program may use for what it holds, of what its container may use: the rest is for itself."""
    return max(of_container // 4, of_container - max(160 << 20, of_container // 4))


def _container(view: View, program: Program) -> Raw:
    security = ["--health-listen", f"0.0.0.0:{HEALTH_PORT}"]
    if view.spec.security.tls.enabled:
        security += ["--tls", TLS_PATH, "--tokens", f"{TOKENS_PATH}/tokens.json"]
    ports = {**program.ports, "health": HEALTH_PORT, "metrics": METRICS_PORT}
    mounts: list[Raw] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the container's own
    if view.spec.security.tls.enabled:
        mounts += [
            {"name": "tls", "mountPath": TLS_PATH, "readOnly": True},
            {"name": "tokens", "mountPath": TOKENS_PATH, "readOnly": True},
        ]
    container: Raw = {
        "name": CONTAINER,
        "image": image(view),
        "imagePullPolicy": view.spec.image_pull_policy.value,
        "command": list(program.command),
        "args": [
            *program.arguments,
            "--metrics",
            f"0.0.0.0:{METRICS_PORT}",
            *security,
            *_logs(view, program),
        ],
        "env": [
            _field("POD_NAME", "metadata.name"),
            _field("POD_IP", "status.podIP"),
            _field("NODE_NAME", "spec.nodeName"),
            *program.access.env,
            *_tracing(view),
        ],
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "startupProbe": _probe("liveness", START_SECONDS, START_FAILURES),
        "livenessProbe": _probe("liveness", 10, 6),
        "readinessProbe": _probe("", 2, 3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [*mounts, *program.mounts, *program.access.mounts],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    resources = dumped(program.settings.resources)
    return {**container, "resources": resources} if resources else container


def _logs(view: View, program: Program) -> list[str]:
    given = dumped(view.spec.logs)
    options = {"format": "--log-format", "level": "--log-level"}
    if program.component != "coordinator":
        options["slowRequestMilliseconds"] = "--slow-request-ms"
    return [word for name, option in options.items() if name in given for word in (option, str(given[name]))]


def _tracing(view: View) -> list[Raw]:
    endpoint = view.spec.tracing.otlp_endpoint
    return [] if endpoint is None else [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint}]


def _secrets(view: View, program: Program) -> list[Raw]:
    if not view.spec.security.tls.enabled:
        return list(program.access.volumes)
    return [
        {"name": "tls", "secret": {"secretName": program.tls_secret, "defaultMode": 0o440}},
        {"name": "tokens", "secret": {"secretName": view.names.tokens, "defaultMode": 0o440}},
        *program.access.volumes,
    ]


def _field(name: str, path: str) -> Raw:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _probe(service: str, period: int, failures: int) -> Raw:
    return {
        "grpc": {"port": HEALTH_PORT, "service": service},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _spread(view: View, program: Program) -> list[Raw]:
    """Over zones and nodes, as far as there are any: of primaries all, of replicas those of a shard."""
    selector = {"matchLabels": names.selector(view.name, program.component, _spread_shard(program))}
    given = program.settings.topology_spread_constraints
    if given:
        return [{"labelSelector": selector} | dumped(one) for one in given]
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector,
        }
        for key in (names.ZONE, names.HOSTNAME)
    ]


def _spread_shard(program: Program) -> int | None:
    return program.shard if program.component == "replica" else None
