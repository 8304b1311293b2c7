"""Coordinators: one Deployment, of which one pod leads; and what they may ask the API server for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aidb_operator import names
from aidb_operator.api.conditions import Type
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import COORDINATOR_PORT
from aidb_operator.plan import bootstrap, hibernate, object_store, pods, wanted
from aidb_operator.plan.metadata import digest, made
from aidb_operator.plan.outcome import Condition, Desired, Outcome, View, objects
from aidb_operator.plan.pods import Program

GRACE_SECONDS = 30
# For people alone: events. What must outlive a pod is in ConfigMaps.
DATA_PATH = "/var/lib/aidb"


def plan(view: View) -> Outcome:
    try:
        source = bootstrap.arguments(view)
    except bootstrap.NoSource as error:
        told = Condition(Type.DEGRADED, True, "NoRecoverySource", str(error))
        return Outcome(actions=objects(_rights(view)), conditions=[told])
    return Outcome(actions=[*objects(_rights(view)), _deployment(view, source)])


def _deployment(view: View, source: Sequence[str]) -> Desired:
    """`source`: what a cluster begins with. It is no input: that it is told no more restarts nothing."""
    program = _program(view)
    raw = made(
        view,
        kinds.DEPLOYMENT,
        view.names.coordinator,
        "coordinator",
        spec={
            "selector": {"matchLabels": names.selector(view.name, "coordinator")},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 3,
            "template": pods.template(view, replace(program, arguments=[*program.arguments, *source])),
        },
    )
    count = hibernate.count(view, "coordinator", view.spec.coordinators.replicas)
    # Of a cluster that goes on with data that was here before, the uid is that of the data.
    inputs = digest([pods.inputs(view, program), wanted.cluster_uid(view)])
    raw["spec"]["template"]["metadata"]["annotations"][names.INPUTS] = inputs
    return Desired(raw, replicas=count, inputs=inputs)


def _program(view: View) -> Program:
    spec = view.spec
    arguments = [
        *("--listen", f"0.0.0.0:{COORDINATOR_PORT}", "--data", DATA_PATH),
        *("--store", "kubernetes", "--provisioner", "kubernetes"),
        *("--namespace", view.namespace, "--cluster-name", view.name, "--identity", "$(POD_NAME)"),
        *("--cluster-uid", wanted.cluster_uid(view)),
        *("--shards", str(spec.shards), "--replicas", str(spec.replicas)),
        *("--durability", spec.durability.value),
        *("--takeover", "on" if spec.takeover.enabled else "off"),
        *("--takeover-grace", str(spec.takeover.grace_seconds)),
    ]
    if spec.object_store is not None:
        arguments += ["--objects", object_store.url(spec.object_store)]
    return Program(
        component="coordinator",
        command=("aidb-coordinator",),
        arguments=arguments,
        settings=spec.coordinators,
        ports={"coordinator": COORDINATOR_PORT},
        tls_secret=view.names.coordinator_tls,
        service_account=view.names.coordinator,
        grace=GRACE_SECONDS,
        access=object_store.access(spec.object_store),
        volumes=({"name": "data", "emptyDir": {}},),
        mounts=({"name": "data", "mountPath": DATA_PATH},),
        token=True,
    )


# What a coordinator asks for: its documents, the Lease by which one leads, who carries the leader's label.
# Creating cannot be limited to names.
def rules(own: names.Names) -> list[Raw]:
    documents = [own.topology, own.operations, own.autoscaler]
    return [
        _rule("", "configmaps", ["create"]),
        _rule("", "configmaps", ["get", "patch"], documents),
        _rule("coordination.k8s.io", "leases", ["create"]),
        _rule("coordination.k8s.io", "leases", ["get", "patch", "watch"], [own.coordinator]),
        _rule("", "pods", ["get", "list", "patch"]),
        _rule(names.GROUP, "shardgroups", ["get", "list"]),
        _rule(names.GROUP, "shardgroups/scale", ["get", "patch"]),
        _rule("", "persistentvolumeclaims", ["list"]),
    ]


def _rule(group: str, resource: str, verbs: list[str], named: list[str] | None = None) -> Raw:
    rule: Raw = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
    return rule if named is None else {**rule, "resourceNames": named}


def _rights(view: View) -> list[Raw]:
    name = view.names.coordinator
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": view.namespace}
    return [
        made(view, kinds.SERVICE_ACCOUNT, name, "coordinator", automountServiceAccountToken=False),
        made(view, kinds.ROLE, name, "coordinator", rules=rules(view.names)),
        made(view, kinds.ROLE_BINDING, name, "coordinator", roleRef=reference, subjects=[subject]),
    ]
