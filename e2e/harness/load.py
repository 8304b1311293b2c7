"""The load pod: what runs in it, and what its history proves."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise

from e2e.harness.kubectl import Kubectl, is_ready, until
from e2e.harness.machine import ROOT
from e2e.harness.objects import Object, restricted
from e2e.load import history_file
from tests.checkers import bounded, linearizable, session, versions
from tests.checkers.history import Operation, Violation

_MODULES = (
    "e2e/load/__init__.py",
    "e2e/load/__main__.py",
    "e2e/load/history_file.py",
    "tests/checkers/history.py",
    "tests/evidence/recorder.py",
)
# Without an __init__.py here, which an archive needs.
_PACKAGES = ("e2e", "tests", "tests/checkers", "tests/evidence")
_OUT = "/history"
_SHOWN = 10
NS = 1_000_000_000


@dataclass(frozen=True)
class Told:
    """What sessions did. ``surprises``: errors that no fault explains. ``failures``: calls that were not
    done, by what and why.
    """

    operations: list[Operation]
    counts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)

    def merged(self, other: Told) -> Told:
        """Of sessions whose clock is the same."""
        counts = {
            name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in self.counts | other.counts
        }
        failures = {
            name: self.failures.get(name, 0) + other.failures.get(name, 0)
            for name in self.failures | other.failures
        }
        operations = [*self.operations, *other.operations]
        return Told(operations, counts, failures, [*self.surprises, *other.surprises])

    def violations(self) -> list[Violation]:
        """Acknowledged writes that were lost, stale reads, wrong values, sessions that went back."""
        history = self.operations
        return [
            *versions.check(history),
            *linearizable.check(history),
            *session.check(history),
            *bounded.check(history),
        ]

    def pauses(self, begin: int = 0, end: int = 1 << 63) -> dict[str, float]:
        """Seconds of the longest time that a session went without an answer, for readers and writers, of
        those that touch ``begin`` .. ``end``, nanoseconds of the history's clock.
        """
        longest = {"read": 0.0, "write": 0.0}
        for operations in _by_session(self.operations):
            what = "write" if any(one.writes for one in operations) else "read"
            for before, after in pairwise(operations):
                if after.end > begin and before.end < end:
                    longest[what] = max(longest[what], (after.end - before.end) / NS)
        return longest

    def check(self) -> None:
        """Raises AssertionError with the first violations and surprises."""
        found = [*map(str, self.violations()), *self.surprises]
        assert not found, f"{len(found)} violations:\n" + "\n".join(found[:_SHOWN])
        assert self.counts.get("acknowledged", 0) > 0, f"nothing was written: {self.counts} {self.failures}"


class Load:
    """One running load pod. ``parts``: begin and end of what was done meanwhile, by the history's clock."""

    def __init__(self, kubectl: Kubectl, pod: str) -> None:
        self._kubectl = kubectl
        self.pod = pod
        self.parts: dict[str, tuple[int, int]] = {}

    def progress(self) -> dict[str, int]:
        """Calls answered, by session."""
        text = self._kubectl.exec(self.pod, "cat", f"{_OUT}/progress.json")
        found: dict[str, int] = json.loads(text)
        return found

    def now(self) -> int:
        """Nanoseconds of the clock that the history has."""
        return int(self._kubectl.exec(self.pod, "python3", "-c", "import time; print(time.monotonic_ns())"))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is done within is told by itself; it is over when every session had answers again."""
        begin = self.now()
        yield
        self.flows()
        self.parts[name] = (begin, self.now())

    def flows(self, seconds: float = 120.0, calls: int = 3) -> None:
        """Waits until every session has had ``calls`` more answers."""
        first = self.progress()
        until(
            f"all sessions of {self.pod} answered",
            lambda: all(count >= first[name] + calls for name, count in self.progress().items()),
            seconds,
        )

    def stop(self, seconds: float = 180.0) -> Told:
        """Ends the sessions; what they did."""
        self._kubectl.exec(self.pod, "touch", f"{_OUT}/stop")
        text = until(
            f"the end of {self.pod}", lambda: self._kubectl.exec(self.pod, "cat", f"{_OUT}/done"), seconds
        )
        restarts = self._kubectl.get("pod", self.pod)["status"]["containerStatuses"][0]["restartCount"]
        assert restarts == 0, f"{self.pod} was started again {restarts} times: its history has a hole"
        content = self._kubectl.exec(self.pod, "cat", f"{_OUT}/history.gz", seconds=120)
        told = json.loads(text)
        self._kubectl.delete("pod", self.pod, "--wait=false")
        return Told(history_file.read(content), told["counts"], told["failures"], told["surprises"])


@contextmanager
def running(
    kubectl: Kubectl,
    image: str,
    address: str,
    *,
    node: str,
    secret: str | None = None,
    name: str = "load",
    arguments: Iterable[str] = (),
) -> Iterator[Load]:
    """A load pod on ``node``, working. ``secret``: certificates and token of clients."""
    kubectl.apply(program(), _pod(name, image, address, node, secret, list(arguments)))
    until(f"pod {name}", lambda: is_ready(kubectl.get("pod", name)), 120)
    load = Load(kubectl, name)
    until(f"progress of {name}", load.progress, 120)
    load.flows()
    # After a failure the pod stays, for its log.
    yield load


def program() -> Object:
    """The modules as one archive that Python runs, in a ConfigMap."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            archive.writestr(f"{package}/__init__.py", "")
        for module in _MODULES:
            archive.writestr(module, (ROOT / module).read_text())
        archive.writestr("__main__.py", "from e2e.load.__main__ import main\n\nmain()\n")
    data = {"load.pyz": base64.b64encode(content.getvalue()).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "load"}, "binaryData": data}


def _pod(name: str, image: str, address: str, node: str, secret: str | None, arguments: list[str]) -> Object:
    container: Object = {
        "name": "load",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/load/load.pyz", "--address", address, "--out", _OUT, *arguments],
        "volumeMounts": [
            {"name": "program", "mountPath": "/load"},
            {"name": "history", "mountPath": _OUT},
        ],
    }
    spec = restricted(container)
    spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    spec["restartPolicy"] = "Never"
    # It stays on a node that nobody hears of: what it saw there is wanted.
    spec["tolerations"] = [{"operator": "Exists", "effect": "NoExecute"}]
    spec["volumes"] += [
        {"name": "program", "configMap": {"name": "load"}},
        {"name": "history", "emptyDir": {}},
    ]
    if secret:
        container["volumeMounts"].append({"name": "tls", "mountPath": "/tls"})
        container["env"] = [
            {"name": "AIDB_TLS", "value": "/tls"},
            {"name": "AIDB_TOKEN_FILE", "value": "/tls/token"},
        ]
        spec["volumes"].append({"name": "tls", "secret": {"secretName": secret}})
    labels = {"app": "aidb-e2e-load"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _by_session(history: Iterable[Operation]) -> Iterator[list[Operation]]:
    sessions: dict[int, list[Operation]] = {}
    for operation in history:
        sessions.setdefault(operation.session, []).append(operation)
    for operations in sessions.values():
        yield sorted(operations, key=lambda one: one.end)
