"""Primaries: a StatefulSet of one for each incarnation that the topology names.

What holds data is never judged by what it looks like: StatefulSets of incarnations that the topology does not
name are `retire`'s, and a volume stays whatever becomes of its StatefulSet.
"""

from __future__ import annotations

from aidb_operator import names
from aidb_operator.api import quantity
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import STORAGE_PORT
from aidb_operator.plan import hibernate, node, object_store, pods, wanted
from aidb_operator.plan.metadata import made
from aidb_operator.plan.outcome import Desired, Outcome, View
from aidb_operator.plan.pods import Program

DATA_PATH = "/var/lib/aidb"
# To end requests, archive the rest of the log, and write down what is in memory.
GRACE_SECONDS = 90
SERVING_SECONDS = 20


def plan(view: View) -> Outcome:
    count = hibernate.count(view, "primary", 1)
    return Outcome(
        actions=[
            stateful_set(view, shard.id, incarnation, 0 if shard.fenced else count)
            for shard in wanted.places(view).values()
            for incarnation in shard.running
        ]
    )


def stateful_set(view: View, shard: int, incarnation: int, count: int = 1) -> Desired:
    program = _program(view, shard, incarnation)
    name = view.names.primary(shard, incarnation)
    existing = view.observed.get(kinds.STATEFUL_SET, name)
    raw = made(
        view,
        kinds.STATEFUL_SET,
        name,
        "primary",
        shard,
        incarnation,
        spec={
            "serviceName": view.names.nodes,
            # A pod that never starts must not keep its StatefulSet from the next template.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "revisionHistoryLimit": 3,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "selector": {"matchLabels": _selector(view, shard, incarnation)},
            "template": pods.template(view, program),
            "volumeClaimTemplates": _claims(view, shard, incarnation, existing),
        },
    )
    return Desired(raw, replicas=count, inputs=pods.inputs(view, program))


def _program(view: View, shard: int, incarnation: int) -> Program:
    spec, own = view.spec, view.names
    arguments = [
        *node.arguments(view),
        *("--shard", str(shard), "--incarnation", str(incarnation)),
        *("--data", DATA_PATH, "--sync", spec.sync.value),
        *("--grace-seconds", str(SERVING_SECONDS)),
        *_memory(view),
        *node.threads(spec.primary),
    ]
    access = object_store.access(spec.object_store)
    if spec.object_store is not None:
        backup = spec.backup_settings
        arguments += ["--objects", object_store.url(spec.object_store)]
        arguments += ["--archive-every", f"{backup.archive_every_seconds:g}"]
        arguments += ["--snapshot-every", str(backup.snapshot_every_seconds)]
        arguments += ["--snapshot-keep", str(backup.keep), "--snapshot-keep-days", f"{backup.keep_days:g}"]
        arguments += ["--verify-every", str(backup.verify_every_seconds)]
        arguments += ["--drill-every", str(backup.drill_every_seconds)]
    return Program(
        component="primary",
        command=("aidb-node", "primary"),
        arguments=arguments,
        settings=spec.primary,
        ports={"storage": STORAGE_PORT},
        tls_secret=own.node_tls,
        service_account=own.nodes,
        grace=GRACE_SECONDS,
        shard=shard,
        incarnation=incarnation,
        access=access,
        volumes=node.volumes(view),
        mounts=({"name": "data", "mountPath": DATA_PATH}, *node.MOUNTS),
    )


def _memory(view: View) -> list[str]:
    settings = view.spec.primary
    if settings.memory_bytes is not None:
        return ["--memory-bytes", str(quantity.whole(settings.memory_bytes))]
    if settings.cache_bytes is not None:
        return ["--cache-bytes", str(quantity.whole(settings.cache_bytes))]
    of_container = pods.memory(settings)
    return [] if of_container is None else ["--memory-bytes", str(pods.budget(of_container))]


def _selector(view: View, shard: int, incarnation: int) -> dict[str, str]:
    return {**names.selector(view.name, "primary", shard), names.INCARNATION: str(incarnation)}


def _claims(view: View, shard: int, incarnation: int, existing: Raw | None) -> list[Raw]:
    """They cannot be changed: one that is there keeps its own."""
    if existing is not None:
        found = existing.get("spec", {}).get("volumeClaimTemplates") or ()
        return [{"metadata": _claim_metadata(one), "spec": _claim_spec(one)} for one in found]
    storage = view.spec.storage
    spec: Raw = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.class_name is not None:
        spec["storageClassName"] = storage.class_name
    labels = names.labels(view.name, "primary", shard, incarnation)
    return [{"metadata": {"name": "data", "labels": labels}, "spec": spec}]


def _claim_metadata(claim: Raw) -> Raw:
    return {name: claim["metadata"][name] for name in ("name", "labels") if name in claim["metadata"]}


def _claim_spec(claim: Raw) -> Raw:
    spec = claim["spec"]
    return {name: spec[name] for name in ("accessModes", "resources", "storageClassName") if name in spec}
