"""A whole cluster's controllers, scheduler and kubelets for one namespace, that run pods as real processes.

With it an operator's tests have what an API server alone does not give: pods of StatefulSets and Deployments,
bound volumes, Services with an address, restarts, evictions, lost nodes. Each pod has an address 127.x.y.z of
its own, so that ports are those of the manifests. What it does not have: limits of memory and CPU, network
policies, images, users; and no process is ended for a failed probe, as a busy machine fails some.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import itertools
import json
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import urllib3

from tests.kubernetes.apiserver import ApiServer, Refused
from tests.kubernetes.workloads import controllers, nodes
from tests.kubernetes.workloads.container import NotYet, Raw, Source, service_names
from tests.kubernetes.workloads.controllers import Request
from tests.kubernetes.workloads.kubelet import RunningPod, Surroundings, conditions, now
from tests.kubernetes.workloads.relay import Relays

log = logging.getLogger("tests.workloads")

TICK = 0.25
COLLECT_EVERY = 1.0
SOURCES_FOR = 1.0
# Seconds between a node's loss and the eviction of its pods; minutes elsewhere.
TOLERATION = 1.0
APPS, CORE, POLICY = "apis/apps/v1", "api/v1", "apis/policy/v1"
# All that an AidbCluster owns, and so goes with it.
COLLECTED = (
    (APPS, "statefulsets"),
    (APPS, "deployments"),
    (CORE, "pods"),
    (CORE, "services"),
    (CORE, "configmaps"),
    (CORE, "secrets"),
    (CORE, "serviceaccounts"),
    (CORE, "persistentvolumeclaims"),
    (POLICY, "poddisruptionbudgets"),
    ("apis/rbac.authorization.k8s.io/v1", "roles"),
    ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    ("apis/networking.k8s.io/v1", "networkpolicies"),
    ("apis/aidb.io/v1alpha1", "aidbclusters"),
    ("apis/aidb.io/v1alpha1", "shardgroups"),
    ("apis/aidb.io/v1alpha1", "aidbbackups"),
    ("apis/aidb.io/v1alpha1", "aidbbackupschedules"),
    ("apis/aidb.io/v1alpha1", "aidbrestores"),
)


class FakeWorkloads:
    """Of one namespace; as a context it runs. `zones`: a node for each, named `<namespace>-<number>`.
    `known_image`: what can be pulled (everything).
    """

    def __init__(
        self,
        apiserver: ApiServer,
        namespace: str,
        folder: Path,
        zones: Sequence[str] = ("a", "b", "c"),
        known_image: Callable[[str], bool] = lambda image: True,
    ) -> None:
        self.namespace, self.folder = namespace, folder
        self.nodes = tuple(f"{namespace}-{number}" for number in range(1, len(zones) + 1))
        self._zones = dict(zip(self.nodes, zones, strict=True))
        self._api = apiserver
        self._lost: dict[str, float] = {}
        self._pods: dict[str, RunningPod] = {}
        self._addresses: dict[str, str] = {}
        self._free = _addresses()
        self._services: dict[str, str] = {}
        self._relayed: set[tuple[str, int]] = set()
        self._relays = Relays()
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="probes")
        self._sources: dict[tuple[str, str], tuple[float, Mapping[str, bytes]]] = {}
        self._around = Surroundings(
            source=Source(
                lambda name: self._content("secrets", name), lambda name: self._content("configmaps", name)
            ),
            services=self._services,
            environment=self._environment,
            pool=self._pool,
            folder=folder,
            known_image=known_image,
        )
        self._objects: dict[str, list[Raw]] = {}
        self._collect_at = 0.0
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="workloads")

    # ---- what tests do to it

    def pod(self, name: str) -> Raw:
        """As it is in the API. Raises Refused."""
        found: Raw = self._api.request("GET", self._path(CORE, "pods", name))
        return found

    def pods(self, **labels: str) -> list[Raw]:
        """By labels: `component="router"`, `shard="0"`."""
        wanted = {
            "app.kubernetes.io/component" if name == "component" else f"aidb.io/{name}": value
            for name, value in labels.items()
        }
        selector = ",".join(f"{name}={value}" for name, value in wanted.items())
        answer = self._api.request("GET", f"{self._path(CORE, 'pods')}?labelSelector={selector}")
        found: list[Raw] = answer["items"]
        return found

    def address(self, service: str) -> str:
        """Of a Service that has one."""
        with self._lock:
            return self._services[service]

    def crash(self, pod: str) -> None:
        """Its process ends as by kill -9; the kubelet starts it again."""
        with self._lock:
            self._running(pod).crash()

    def process_id(self, pod: str) -> int | None:
        with self._lock:
            return self._running(pod).process_id

    def log(self, pod: str) -> str:
        """What it wrote."""
        with self._lock:
            return self._running(pod).log.read_text(errors="replace")

    def cordon(self, node: str, unschedulable: bool = True) -> None:
        self._api.request(
            "PATCH",
            f"/api/v1/nodes/{node}",
            {"spec": {"unschedulable": unschedulable}},
            "application/merge-patch+json",
        )

    def evict(self, pod: str) -> None:
        """Raises Refused (429) while a budget forbids it."""
        self._api.request(
            "POST",
            self._path(CORE, "pods", pod) + "/eviction",
            {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}},
        )

    def lose(self, node: str) -> None:
        """Power off: its processes are gone at once, its volumes out of reach. Pods are evicted later."""
        with self._lock:
            self._lost[node] = time.monotonic()
            for raw in self._objects.get("pods", ()):
                if raw["spec"].get("nodeName") == node and raw["metadata"]["uid"] in self._pods:
                    self._pods[raw["metadata"]["uid"]].kill()
            self._node_status(node, ready=False)

    def return_node(self, node: str) -> None:
        """It boots, with its volumes."""
        with self._lock:
            del self._lost[node]
            self._node_status(node, ready=True)

    # ---- running

    def __enter__(self) -> FakeWorkloads:
        for name, zone in self._zones.items():
            self._api.request("POST", "/api/v1/nodes", nodes.body(name, zone))
            self._node_status(name, ready=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        with self._lock:
            for running in self._pods.values():
                running.kill()
        self._pool.shutdown()
        self._relays.close()
        for name in self.nodes:
            with contextlib.suppress(Refused):
                self._api.request("DELETE", f"/api/v1/nodes/{name}")
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._lock:
                    self._tick()
            except (Refused, urllib3.exceptions.HTTPError) as refused:
                # A busy server: the next tick tries again.
                log.warning("%s: %s", self.namespace, refused)
            except Exception as error:
                self._failure = error
                raise
            self._stop.wait(TICK)

    def _tick(self) -> None:
        for group, plural in (
            (APPS, "statefulsets"),
            (APPS, "deployments"),
            (CORE, "pods"),
            (CORE, "services"),
            (CORE, "persistentvolumeclaims"),
            (POLICY, "poddisruptionbudgets"),
        ):
            self._objects[plural] = self._listed(group, plural)
        self._serve()
        for request in self._control():
            self._send(request)
        self._schedule()
        self._run_pods()
        if time.monotonic() >= self._collect_at:
            self._collect_at = time.monotonic() + COLLECT_EVERY
            every = [one for group, plural in COLLECTED for one in self._listed(group, plural)]
            for request in controllers.collected(every):
                self._send(request)

    def _control(self) -> Iterator[Request]:
        pods = self._objects["pods"]
        claims = {one["metadata"]["name"]: one for one in self._objects["persistentvolumeclaims"]}
        for one in self._objects["statefulsets"]:
            yield from controllers.stateful_set(one, pods, claims)
        for one in self._objects["deployments"]:
            yield from controllers.deployment(one, pods)
        for one in self._objects["poddisruptionbudgets"]:
            yield from controllers.budget(one, pods)
        for one in claims.values():
            yield from controllers.claim(one, pods)
        for pod in pods:
            since = self._lost.get(pod["spec"].get("nodeName", ""))
            if since is not None and not controllers.deleted(pod) and time.monotonic() - since > TOLERATION:
                yield controllers.Request("DELETE", controllers.object_path(pod), {})

    def _schedule(self) -> None:
        machines = [self._api.request("GET", f"/api/v1/nodes/{name}") for name in self.nodes]
        claims = {one["metadata"]["name"]: one for one in self._objects["persistentvolumeclaims"]}
        for pod in self._objects["pods"]:
            if pod["spec"].get("nodeName") or controllers.deleted(pod):
                continue
            own = [
                volume["persistentVolumeClaim"]["claimName"]
                for volume in pod["spec"].get("volumes", ())
                if "persistentVolumeClaim" in volume
            ]
            if not set(own) <= claims.keys():
                continue
            bound = next((_selected(claims[name]) for name in own if _selected(claims[name])), None)
            node = nodes.chosen(pod, self._objects["pods"], machines, bound)
            if node is None:
                continue
            for name in own:
                annotation = {"metadata": {"annotations": {nodes.SELECTED: node}}}
                path = self._path(CORE, "persistentvolumeclaims", name)
                self._send(Request("PATCH", path, annotation))
            name = pod["metadata"]["name"]
            target = {"apiVersion": "v1", "kind": "Node", "name": node}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            self._send(Request("POST", self._path(CORE, "pods", name) + "/binding", body, "application/json"))
            pod["spec"]["nodeName"] = node

    def _serve(self) -> None:
        """Addresses of Services, before pods ask for them."""
        for service in self._objects["services"]:
            name, spec = service["metadata"]["name"], service["spec"]
            if spec.get("clusterIP") == "None":
                continue
            if name not in self._services:
                address = next(self._free)
                self._services.update(dict.fromkeys(service_names(name, self.namespace), address))
            for port in spec["ports"]:
                if (name, port["port"]) in self._relayed:
                    continue
                target = port.get("targetPort", port["port"])
                backends = functools.partial(self._backends, name, target)
                self._relays.open(self._services[name], port["port"], backends)
                self._relayed.add((name, port["port"]))

    def _backends(self, name: str, target: int) -> list[tuple[str, int]]:
        """Asked by the relays' thread: of what the last tick saw."""
        services = {one["metadata"]["name"]: one for one in self._objects["services"]}
        if name not in services:
            return []
        spec = services[name]["spec"]
        return [
            (pod["status"]["podIP"], target)
            for pod in self._objects["pods"]
            if pod.get("status", {}).get("podIP")
            and controllers.selects({"matchLabels": spec.get("selector", {})}, pod["metadata"]["labels"])
            and (controllers.ready(pod) or spec.get("publishNotReadyAddresses"))
        ]

    def _run_pods(self) -> None:
        there = set()
        for pod in self._objects["pods"]:
            uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
            there.add(uid)
            if node is None:
                continue
            if node in self._lost:
                self._write(pod, {"conditions": conditions(pod, ready=False, reason="NodeStatusUnknown")})
                continue
            if uid not in self._pods:
                self._addresses[uid] = next(self._free)
                self._pods[uid] = RunningPod(pod, self._around)
            pod.setdefault("status", {})["podIP"] = self._addresses[uid]
            running = self._pods[uid]
            running.sync(pod)
            if running.gone:
                self._send(
                    Request(
                        "DELETE",
                        controllers.object_path(pod),
                        {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}},
                    )
                )
                continue
            address = self._addresses[uid]
            self._write(
                pod,
                {
                    **running.status(pod),
                    "podIP": address,
                    "podIPs": [{"ip": address}],
                    "hostIP": "127.0.0.1",
                    "startTime": pod["status"].get("startTime") or now(),
                },
            )
        for uid in self._pods.keys() - there:
            self._pods.pop(uid).remove()
        claims = {one["metadata"]["name"] for one in self._objects["persistentvolumeclaims"]}
        self._remove_volumes(claims)

    def _remove_volumes(self, claims: set[str]) -> None:
        folder = self.folder / "claims"
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in claims:
                shutil.rmtree(path, ignore_errors=True)

    def _write(self, pod: Raw, status: Raw) -> None:
        """Where it differs from what the API has."""
        told = json.dumps(status, sort_keys=True)
        running = self._pods.get(pod["metadata"]["uid"])
        if running is not None and running.written == told:
            return
        self._send(Request("PATCH", controllers.object_path(pod) + "/status", {"status": status}))
        if running is not None:
            running.written = told

    def _listed(self, group: str, plural: str) -> list[Raw]:
        answer = self._api.request("GET", self._path(group, plural))
        kind = answer["kind"].removesuffix("List")
        version = answer["apiVersion"]
        return [{"kind": kind, "apiVersion": version, **one} for one in answer["items"]]

    def _send(self, request: Request) -> None:
        content = request.content if request.method == "PATCH" else "application/json"
        try:
            self._api.request(request.method, request.path, request.body, content)
        except Refused as refused:
            # Somebody else was faster; or it is an object that nobody can make, which keeps no other back.
            if refused.code not in (404, 409):
                log.warning("%s: %s %s: %s", self.namespace, request.method, request.path, refused)

    def _content(self, plural: str, name: str) -> Mapping[str, bytes]:
        """Of a Secret or ConfigMap, some of a second old. Raises NotYet."""
        at, content = self._sources.get((plural, name), (0.0, {}))
        if time.monotonic() - at < SOURCES_FOR:
            return content
        try:
            raw = self._api.request("GET", self._path(CORE, plural, name))
        except Refused as refused:
            if refused.code == 404:
                raise NotYet(f"{plural} {name} is not there") from None
            raise
        data = raw.get("data") or {}
        binary = data if plural == "secrets" else raw.get("binaryData") or {}
        content = {key: base64.b64decode(text) for key, text in binary.items()}
        if plural != "secrets":
            content |= {key: text.encode() for key, text in data.items()}
        self._sources[plural, name] = (time.monotonic(), content)
        return content

    def _environment(self, pod: Raw) -> Mapping[str, str]:
        """What admission and the kubelet do for a pod that asks the API server: here by KUBECONFIG."""
        spec = pod["spec"]
        if not spec.get("automountServiceAccountToken"):
            return {}
        account = spec.get("serviceAccountName", "default")
        try:
            return {"KUBECONFIG": str(self._api.account_kubeconfig(self.namespace, account))}
        except Refused as refused:
            raise NotYet(f"service account {account}: {refused}") from None

    def _node_status(self, name: str, *, ready: bool) -> None:
        self._api.request(
            "PATCH", f"/api/v1/nodes/{name}/status", nodes.status(ready), "application/merge-patch+json"
        )

    def _path(self, group: str, plural: str, name: str = "") -> str:
        return f"/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def _running(self, pod: str) -> RunningPod:
        for one in self._objects.get("pods", ()):
            if one["metadata"]["name"] == pod and one["metadata"]["uid"] in self._pods:
                return self._pods[one["metadata"]["uid"]]
        raise KeyError(f"no pod {pod} runs")


def _addresses() -> Iterator[str]:
    """Of the loopback network; those of another run begin somewhere else."""
    second, first = secrets.randbelow(253) + 1, secrets.randbelow(1 << 16)
    for number in itertools.count(first):
        third, last = number >> 8 & 255, number & 255
        if 0 < last < 255:
            yield f"127.{second}.{third}.{last}"


def _selected(claim: Any) -> str | None:
    found: str | None = claim["metadata"].get("annotations", {}).get(nodes.SELECTED)
    return found
