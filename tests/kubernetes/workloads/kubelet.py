"""A pod as a process: started when its volumes are there, probed, restarted, ended with grace, and told about
in the pod's status, as a kubelet does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.kubernetes.apiserver import ends_with_parent
from tests.kubernetes.workloads import container
from tests.kubernetes.workloads.container import NotYet, Raw, Source
from tests.kubernetes.workloads.volumes import Volumes

PROBE_PERIOD = 0.4
PROBE_TIMEOUT = 5.0
FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 3.0
MESSAGE_BYTES = 2048
# A channel to a program that is not up yet tries again soon.
_CHANNEL = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500))


@dataclass
class Probes:
    """What the last probes said; asked in the background."""

    address: str
    ready_service: str
    alive_service: str
    pool: ThreadPoolExecutor
    ready: bool = False
    serving: bool = False
    """It has answered a probe of liveness since it was started."""
    _channel: grpc.Channel | None = None
    _asked: Future[tuple[bool, bool]] | None = None
    _next: float = 0.0

    def poll(self) -> None:
        if self._asked is not None:
            if not self._asked.done():
                return
            self.ready, alive = self._asked.result()
            self.serving = self.serving or alive
            self._asked = None
            self._next = time.monotonic() + PROBE_PERIOD
        elif time.monotonic() >= self._next:
            self._asked = self.pool.submit(self._ask)

    def close(self) -> None:
        self.ready = self.serving = False
        if self._asked is not None:
            with contextlib.suppress(Exception):
                self._asked.result(PROBE_TIMEOUT * 3)
        if self._channel is not None:
            self._channel.close()
        self._asked = self._channel = None

    def _ask(self) -> tuple[bool, bool]:
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.address, options=_CHANNEL)
        stub = health_pb2_grpc.HealthStub(self._channel)
        alive = self._says_serving(stub, self.alive_service)
        return alive and self._says_serving(stub, self.ready_service), alive

    @staticmethod
    def _says_serving(stub: health_pb2_grpc.HealthStub, service: str) -> bool:
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PROBE_TIMEOUT)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@dataclass
class Surroundings:
    """What all pods share. `environment` of a pod beside its own may raise NotYet; images that are not known
    cannot be pulled.
    """

    source: Source
    services: Mapping[str, str]
    environment: Callable[[Raw], Mapping[str, str]]
    pool: ThreadPoolExecutor
    folder: Path
    known_image: Callable[[str], bool]


class RunningPod:
    """`sync` once in a while; never waits."""

    def __init__(self, pod: Raw, around: Surroundings) -> None:
        self.uid: str = pod["metadata"]["uid"]
        self.name: str = pod["metadata"]["name"]
        self.log = around.folder / "logs" / f"{self.name}.{self.uid[:8]}.log"
        self._around = around
        self._volumes = Volumes(around.folder / "pods" / self.uid, around.folder / "claims")
        self._process: subprocess.Popen[bytes] | None = None
        self._probes: Probes | None = None
        self._restarts = 0
        self._started: str | None = None
        self._waiting = "ContainerCreating"
        self._told = ""
        self._last: Raw | None = None
        self._backoff, self._not_before = FIRST_BACKOFF, 0.0
        self._ending: float | None = None
        self.written = ""
        """The status that the API has of it."""

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def sync(self, pod: Raw) -> None:
        """Towards what `pod` asks for."""
        self._reap()
        if pod["metadata"].get("deletionTimestamp"):
            self._end(pod["metadata"].get("deletionGracePeriodSeconds", 30))
            return
        try:
            mounts = self._volumes.mounts(pod, self._around.source)
            if self._process is None and time.monotonic() >= self._not_before:
                self._start(pod, mounts)
        except NotYet as not_yet:
            self._told = str(not_yet)
        if self._probes is not None and self._process is not None:
            self._probes.poll()

    @property
    def gone(self) -> bool:
        """The process ended after its pod was deleted."""
        return self._ending is not None and self._process is None

    def kill(self) -> None:
        """At once, and leaves nothing."""
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._probes is not None:
            self._probes.close()
            self._probes = None

    def remove(self) -> None:
        self.kill()
        self._volumes.remove()

    def crash(self) -> None:
        """As by the kernel; it is started again."""
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)

    def status(self, pod: Raw) -> Raw:
        ready = self._probes is not None and self._probes.ready and self._process is not None
        running = self._process is not None
        [told] = pod["spec"]["containers"]
        state: Raw = {"waiting": {"reason": self._waiting, "message": self._told}}
        if running:
            state = {"running": {"startedAt": self._started}}
        one: Raw = {
            "name": told["name"],
            "image": told["image"],
            "imageID": told["image"],
            "ready": ready,
            "started": self._probes is not None and self._probes.serving,
            "restartCount": self._restarts,
            "state": state,
            "lastState": {"terminated": self._last} if self._last else {},
        }
        begun = running or self._restarts > 0
        return {
            "phase": "Running" if begun else "Pending",
            "containerStatuses": [one],
            "conditions": conditions(pod, ready),
        }

    def _start(self, pod: Raw, mounts: Mapping[str, Path]) -> None:
        around = self._around
        image = pod["spec"]["containers"][0]["image"]
        if not around.known_image(image):
            self._waiting, self._told = "ImagePullBackOff", f"{image}: not found"
            return
        command = container.command(pod, around.source, mounts, around.services)
        environment = around.environment(pod)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as to:
            self._process = subprocess.Popen(
                [*ends_with_parent(), *_program(command.arguments)],
                stdin=subprocess.DEVNULL,
                stdout=to,
                stderr=to,
                start_new_session=True,
                env={**_inherited(), **environment, **command.environment},
            )
        self._started = now()
        self._probes = _probes(pod, around.pool)

    def _reap(self) -> None:
        if self._process is None or self._process.poll() is None:
            return
        code = self._process.returncode
        self._last = {
            # As a kubelet tells of a signal.
            "exitCode": 128 - code if code < 0 else code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": self._started,
            "finishedAt": now(),
            "message": _tail(self.log) if code else "",
        }
        self._process = None
        if self._probes is not None:
            self._probes.close()
            self._probes = None
        self._restarts += 1
        self._waiting, self._told = "CrashLoopBackOff", "waits before the next start"
        self._not_before = time.monotonic() + self._backoff
        self._backoff = min(2 * self._backoff, LONGEST_BACKOFF)

    def _end(self, grace: int) -> None:
        if self._process is not None and self._ending is None:
            _signal(self._process, signal.SIGTERM)
        if self._ending is None:
            self._ending = time.monotonic() + grace
        elif self._process is not None and time.monotonic() > self._ending:
            _signal(self._process, signal.SIGKILL)


def conditions(pod: Raw, ready: bool, reason: str = "") -> list[Raw]:
    """With their times kept where nothing changed."""
    before = {one["type"]: one for one in pod.get("status", {}).get("conditions", ())}
    made = []
    for type, holds in (
        ("PodScheduled", True),
        ("Initialized", True),
        ("PodReadyToStartContainers", True),
        ("ContainersReady", ready),
        ("Ready", ready),
    ):
        status = "True" if holds else "False"
        old = before.get(type)
        kept = old is not None and old["status"] == status
        one = {
            "type": type,
            "status": status,
            "lastTransitionTime": old["lastTransitionTime"] if old is not None and kept else now(),
        }
        if reason and not holds:
            one["reason"] = reason
        made.append(one)
    return made


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _program(arguments: tuple[str, ...]) -> list[str]:
    """The images have the programs on PATH; here they are beside this Python."""
    beside = Path(sys.executable).parent / arguments[0]
    found = str(beside) if beside.exists() else shutil.which(arguments[0])
    if found is None:
        raise NotYet(f"no program {arguments[0]}")
    return [found, *arguments[1:]]


def _inherited() -> dict[str, str]:
    """Nothing of another cluster."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}


def _probes(pod: Raw, pool: ThreadPoolExecutor) -> Probes:
    [told] = pod["spec"]["containers"]
    ready, alive = told["readinessProbe"]["grpc"], told["livenessProbe"]["grpc"]
    return Probes(
        f"{pod['status']['podIP']}:{ready['port']}",
        ready.get("service", ""),
        alive.get("service", ""),
        pool,
    )


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _tail(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - MESSAGE_BYTES))
        return log.read().decode(errors="replace")
