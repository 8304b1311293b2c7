"""kubectl, as the tests use it: objects in, objects out."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Object = dict[str, Any]
CALL_SECONDS = 60.0


class KubectlFailed(Exception):
    """A call that ended with an error, and what it said."""


def until(what: str, condition: Callable[[], T], seconds: float, every: float = 0.5) -> T:
    """Waits for a true value of ``condition``; calls that fail meanwhile count as false.

    Raises:
        AssertionError: there was none in ``seconds``; with the last failure.
    """
    end = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            if value := condition():
                return value
            last = value
        except (KubectlFailed, subprocess.TimeoutExpired) as error:
            last = error
        assert time.monotonic() < end, f"{what}: not in {seconds:.0f} s; last: {last!r}"
        time.sleep(every)


class Kubectl:
    """Calls in one namespace."""

    def __init__(self, program: str, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.program = program

    def within(self, namespace: str) -> Kubectl:
        return Kubectl(self.program, self.kubeconfig, namespace)

    def command(self, *arguments: str) -> list[str]:
        return [self.program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]

    def raw(self, *arguments: str, stdin: bytes = b"", seconds: float = CALL_SECONDS) -> bytes:
        """What it printed. Raises KubectlFailed, TimeoutExpired."""
        done = subprocess.run(self.command(*arguments), input=stdin, capture_output=True, timeout=seconds)
        if done.returncode:
            raise KubectlFailed(
                f"kubectl {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}"
            )
        return done.stdout

    def __call__(self, *arguments: str, stdin: str = "", seconds: float = CALL_SECONDS) -> str:
        return self.raw(*arguments, stdin=stdin.encode(), seconds=seconds).decode(errors="replace")

    def apply(self, *objects: Mapping[str, Any]) -> None:
        documents = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self("apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "-f", "-", stdin=documents)

    def get(self, kind: str, name: str) -> Object:
        found: Object = json.loads(self("get", kind, name, "-o", "json"))
        return found

    def find(self, kind: str, name: str) -> Object | None:
        """None: there is none."""
        text = self("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def items(self, kind: str, selector: str = "") -> list[Object]:
        select = [f"--selector={selector}"] if selector else []
        found: list[Object] = json.loads(self("get", kind, *select, "-o", "json"))["items"]
        return found

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        self("patch", kind, name, "--type=merge", "--patch", json.dumps(change))

    def delete(self, kind: str, name: str, *options: str, seconds: float = 180.0) -> None:
        self("delete", kind, name, "--ignore-not-found", *options, seconds=seconds)

    def exec(self, pod: str, *command: str, seconds: float = CALL_SECONDS) -> bytes:
        return self.raw("exec", pod, "--", *command, seconds=seconds)


def condition(found: Object, type: str) -> str:
    """Its status: True, False, Unknown; Unknown without it."""
    for one in found.get("status", {}).get("conditions", []):
        if one["type"] == type:
            return str(one["status"])
    return "Unknown"


def is_ready(pod: Object) -> bool:
    return condition(pod, "Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
