"""A cluster that carries out what the operator plans, one step of ten seconds after the other: a scheduler,
controllers of workloads, kubelets and a coordinator, as far as lifecycles need them. All of it is slow, so
that plans meet every state between.

An image that ends in `bad` never starts. A primary's volume is on the node where its pod first ran.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from aidb_operator import names
from aidb_operator.apply import marked, needs_applying
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw, kind_of
from aidb_operator.observed import Node, Observed, Place, Shard, Topology
from aidb_operator.plan import planner
from aidb_operator.plan.outcome import Call, Delete, Desired, Patch, View
from aidb_operator.plan.planner import Plan
from aidb_operator.plan.steps import GATES, STEPS

from tests.operator import views

STEP = timedelta(seconds=10)
GRACE = timedelta(seconds=30)
WORKLOADS = (kinds.DEPLOYMENT, kinds.STATEFUL_SET)
SPEC: dict[str, Any] = {
    "shards": 2,
    "replicas": 1,
    "image": "aidb:1",
    "objectStore": {"url": "s3://bucket/aidb"},
    "routers": {"replicas": 1},
    "coordinators": {"replicas": 1},
    "security": {"tls": {"enabled": False}, "networkPolicy": {"enabled": False}},
}


@dataclass
class World:
    """`violations`: what was planned and must never be. `gone`: since when a shard's primary is not ready."""

    spec: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SPEC))
    nodes: dict[str, Raw] = field(default_factory=lambda: {f"node-{n}": _node(f"node-{n}") for n in range(4)})
    objects: dict[tuple[Kind, str], Raw] = field(default_factory=dict)
    shards: dict[int, Shard] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    now: datetime = views.NOW
    taking_over: bool = True
    violations: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    gone: dict[int, datetime] = field(default_factory=dict)
    disrupted: set[int] = field(default_factory=set)
    last: Plan | None = None

    def view(self) -> View:
        cluster = views.cluster(self.spec, **self.metadata)
        by_kind: dict[Kind, dict[str, Raw]] = {kinds.CLUSTER: {"db": cluster}}
        for (kind, name), raw in self.objects.items():
            by_kind.setdefault(kind, {})[name] = copy.deepcopy(raw)
        topology = Topology(views.UID, 1, dict(self.shards), next_shard=9) if self.shards else None
        nodes = {name: Node.of(raw) for name, raw in self.nodes.items()}
        seen = views.view(self.spec, (), topology, now=self.now)
        return replace(seen, cluster=cluster, observed=Observed(by_kind, nodes, topology))

    def steps(self, count: int) -> World:
        for _ in range(count):
            self.step()
        return self

    def step(self) -> None:
        self.now += STEP
        self._kubernetes()
        self._coordinator()
        self._operator()

    def primary(self, shard: int) -> Raw | None:
        found = self.shards.get(shard)
        return None if found is None else self.objects.get((kinds.POD, f"db-{shard}-{found.published}-0"))

    def serves(self, shard: int) -> bool:
        pod = self.primary(shard)
        return pod is not None and _is_ready(pod)

    def node_of(self, shard: int) -> str:
        pod = self.primary(shard)
        return "" if pod is None else pod["spec"].get("nodeName", "")

    def cordon(self, node: str, unschedulable: bool = True) -> None:
        self.nodes[node]["spec"]["unschedulable"] = unschedulable

    def power(self, node: str, on: bool) -> None:
        self.nodes[node]["status"]["conditions"][0]["status"] = "True" if on else "False"

    def images(self, component: str) -> set[str]:
        return {_image(pod) for pod in self.pods() if pod["metadata"]["labels"][names.COMPONENT] == component}

    def pods(self) -> list[Raw]:
        return [raw for (kind, _), raw in self.objects.items() if kind is kinds.POD]

    def condition(self, type: str) -> Any:
        assert self.last is not None
        found = [one for step in self.last.steps for one in step.outcome.conditions if one.type == type]
        return found[-1] if found else None

    # The operator.

    def _operator(self) -> None:
        view = self.view()
        self.last = planner.plan(view, STEPS, GATES)
        for action in self.last.actions:
            match action:
                case Desired():
                    self._apply(action)
                case Delete():
                    self._delete(action)
                case Patch():
                    self._patch(action)
                case Call():
                    self._call(action)

    def _apply(self, action: Desired) -> None:
        key = kind_of(action.raw), action.name
        existing = self.objects.get(key)
        if existing is None or (not action.only_count and needs_applying(action, existing)):
            if (
                existing is not None
                and "-primary" not in action.name
                and kind_of(action.raw) is kinds.STATEFUL_SET
            ):
                self._restarting(names.number(action.raw["metadata"]["labels"], names.SHARD))
            made = copy.deepcopy(marked(action))
            if existing is not None:
                made["metadata"] |= {key: existing["metadata"][key] for key in ("uid", "creationTimestamp")}
                made["spec"].setdefault("replicas", existing["spec"].get("replicas", 1))
            else:
                made["metadata"] |= {"uid": f"uid-{action.name}", "creationTimestamp": _text(self.now)}
            self.objects[key] = made
        if action.replicas is not None:
            self.objects[key]["spec"]["replicas"] = action.replicas

    def _restarting(self, shard: int | None) -> None:
        """Another primary that served, is not hibernated and was made to restart is not back yet."""
        assert shard is not None
        self.disrupted = {one for one in self.disrupted if not self.serves(one)}
        if self.serves(shard):
            if self.disrupted - {shard}:
                self.violations.append(f"shards {sorted(self.disrupted | {shard})} are disrupted at once")
            self.disrupted.add(shard)

    def _delete(self, action: Delete) -> None:
        raw = self.objects.get((action.kind, action.name))
        if raw is None:
            return
        labels = raw["metadata"].get("labels", {})
        place = names.number(labels, names.SHARD), names.number(labels, names.INCARNATION)
        deleting = "deletionTimestamp" in self.metadata
        if action.kind in (kinds.STATEFUL_SET, kinds.VOLUME_CLAIM) and None not in place and not deleting:
            shard = self.shards.get(place[0] or 0)
            if action.over is None or shard is None or place[1] in shard.running:
                self.violations.append(f"{action.kind.name} {action.name} is deleted, and it runs")
        del self.objects[action.kind, action.name]

    def _patch(self, action: Patch) -> None:
        if action.kind is kinds.CLUSTER:
            self.metadata["finalizers"] = action.body["metadata"]["finalizers"]
            return
        raw = self.objects.get((action.kind, action.name))
        if raw is not None:
            annotations = raw["metadata"].setdefault("annotations", {})
            annotations |= action.body["metadata"]["annotations"]

    def _call(self, action: Call) -> None:
        self.calls.append(action.why)
        if action.method != "WantSuccessor":
            return
        request = action.request
        shard = self.shards[request.shard]
        if request.cancel:
            if not shard.taken:
                self.shards[shard.id] = replace(shard, wanted=0, planned=False, reason="")
            return
        if any(one.wanted and one.planned for one in self.shards.values()):
            self.violations.append(f"a second hand-over is asked for: shard {request.shard}")
        elif self.serves(shard.id):
            self._restarting(shard.id)
            self.disrupted.discard(shard.id)
            wanted = shard.published + 1
            self.shards[shard.id] = replace(shard, wanted=wanted, planned=True, reason=request.reason)

    # Kubernetes.

    def _kubernetes(self) -> None:
        for pod in self.pods():
            self._kubelet(pod)
        owned: dict[str, list[Raw]] = {}
        for pod in self.pods():
            owned.setdefault(pod["metadata"]["annotations"]["owner"], []).append(pod)
        for owner in owned:
            if not any((kind, owner) in self.objects for kind in WORKLOADS):
                for pod in owned[owner]:
                    self._end(pod)
        for (kind, name), raw in list(self.objects.items()):
            if kind in WORKLOADS:
                self._control(kind, raw, owned.get(name, []))

    def _control(self, kind: Kind, raw: Raw, pods: list[Raw]) -> None:
        wanted, inputs = raw["spec"].get("replicas", 1), _inputs(raw["spec"]["template"])
        for pod in pods[wanted:]:
            self._end(pod)
        pods = pods[:wanted]
        old = [pod for pod in pods if _inputs(pod) != inputs]
        if old:
            self._end(old[0])
        taken = {pod["metadata"]["name"] for pod in self.pods()}
        name = raw["metadata"]["name"]
        for number in range(wanted):
            if f"{name}-{number}" not in taken:
                self._start(kind, raw, f"{name}-{number}")

    def _start(self, kind: Kind, raw: Raw, name: str) -> None:
        template = raw["spec"]["template"]
        self.objects[kinds.POD, name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "test",
                "uid": f"uid-{name}-{self.now}",
                "creationTimestamp": _text(self.now),
                "labels": dict(template["metadata"]["labels"]),
                "annotations": {**template["metadata"]["annotations"], "owner": raw["metadata"]["name"]},
            },
            "spec": {"containers": template["spec"]["containers"]},
            "status": {"phase": "Pending", "conditions": []},
        }
        if kind is kinds.STATEFUL_SET and (kinds.VOLUME_CLAIM, f"data-{name}") not in self.objects:
            labels = raw["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"]
            self.objects[kinds.VOLUME_CLAIM, f"data-{name}"] = {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": f"data-{name}", "uid": f"uid-data-{name}", "labels": labels},
            }

    def _end(self, pod: Raw) -> None:
        """A kubelet that answers ends it; another one never does."""
        node = self.nodes.get(pod["spec"].get("nodeName", ""))
        if node is None or _is_up(node):
            self.objects.pop((kinds.POD, pod["metadata"]["name"]), None)
        else:
            pod["metadata"].setdefault("deletionTimestamp", _text(self.now + GRACE))

    def _kubelet(self, pod: Raw) -> None:
        status, place = pod["status"], _place(pod)
        if "nodeName" not in pod["spec"]:
            node = self._schedule(pod)
            if not node:
                status["conditions"] = [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "no room",
                    }
                ]
                return
            pod["spec"]["nodeName"] = node
        up = _is_up(self.nodes[pod["spec"]["nodeName"]])
        bad = _image(pod).endswith("bad")
        serving = place is None or self._is_published(place)
        status["phase"] = "Running"
        ready = up and not bad and serving
        status["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "exit code 2"}}
        ended = pod["metadata"]["annotations"].get("exit")
        if up:
            last = {"terminated": {"exitCode": int(ended)}} if ended else {}
            state = waiting if bad or ended else {"running": {}}
            status["containerStatuses"] = [{"state": state, "lastState": last}]

    def _schedule(self, pod: Raw) -> str:
        claim = self.objects.get((kinds.VOLUME_CLAIM, f"data-{pod['metadata']['name']}"))
        bound = (claim or {}).get("metadata", {}).get("node")
        free = [
            name
            for name, node in sorted(self.nodes.items())
            if _is_up(node) and not node["spec"].get("unschedulable") and bound in (None, name)
        ]
        if not free:
            return ""
        busy = [one["spec"].get("nodeName") for one in self.pods()]
        chosen = min(free, key=busy.count)
        if claim is not None:
            claim["metadata"]["node"] = chosen
        return chosen

    def _is_published(self, place: Place) -> bool:
        shard = self.shards.get(place[0])
        return shard is not None and shard.published == place[1] and not shard.taken

    # The coordinator.

    def _coordinator(self) -> None:
        for number in range(self.spec["shards"]):
            pod = self.objects.get((kinds.POD, f"db-{number}-1-0"))
            if number not in self.shards and pod is not None and "nodeName" in pod["spec"]:
                self.shards[number] = Shard(number, 1, epoch=1)
        for shard in list(self.shards.values()):
            self._succeed(shard)
            if self.serves(shard.id) or self.spec.get("hibernate"):
                self.gone.pop(shard.id, None)
            elif self.taking_over and self.now - self.gone.setdefault(shard.id, self.now) >= GRACE:
                self._take_over(self.shards[shard.id])

    def _take_over(self, shard: Shard) -> None:
        if not shard.taken and (not shard.wanted or shard.planned):
            wanted = shard.wanted or shard.published + 1
            self.shards[shard.id] = replace(shard, wanted=wanted, planned=False, reason="gone")

    def _succeed(self, shard: Shard) -> None:
        """Fetches, takes the epoch, and serves: a step each."""
        pod = self.objects.get((kinds.POD, f"db-{shard.id}-{shard.wanted}-0"))
        if not shard.wanted or pod is None or "nodeName" not in pod["spec"]:
            return
        if _image(pod).endswith("bad") or not _is_up(self.nodes[pod["spec"]["nodeName"]]):
            return
        if not shard.planned and self.serves(shard.id) and not shard.taken:
            self.shards[shard.id] = replace(shard, wanted=0, reason="")
        elif not shard.taken:
            self.shards[shard.id] = replace(shard, taken=shard.epoch + 1)
            old = self.primary(shard.id)
            if shard.planned and old is not None and _is_ready(old):
                old["metadata"]["annotations"]["exit"] = "3"
        else:
            self.shards[shard.id] = Shard(shard.id, shard.wanted, epoch=shard.taken)


def _node(name: str) -> Raw:
    return {
        "metadata": {"name": name, "labels": {names.ZONE: "a"}},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def _is_up(node: Raw) -> bool:
    return bool(node["status"]["conditions"][0]["status"] == "True")


def _is_ready(pod: Raw) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"]["conditions"]}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _inputs(raw: Raw) -> str:
    return str(raw["metadata"]["annotations"][names.INPUTS])


def _image(pod: Raw) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def _place(pod: Raw) -> Place | None:
    labels = pod["metadata"]["labels"]
    shard, incarnation = names.number(labels, names.SHARD), names.number(labels, names.INCARNATION)
    return None if shard is None or incarnation is None else (shard, incarnation)


def _text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
