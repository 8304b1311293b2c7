"""`logs`: of all pods of a cluster, or of a shard, together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from kubernetes import client as official

from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb_operator import names
from aidb_operator.kubectl.place import Place
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Raw

MOST_FOLLOWED = 64


def pods(place: Place, name: str, shard: int | None = None, component: str | None = None) -> list[Raw]:
    """Of the cluster. Raises Failure."""
    wanted = {names.CLUSTER: name, names.SHARD: shard, names.COMPONENT: component}
    selector = ",".join(f"{label}={value}" for label, value in wanted.items() if value is not None)
    return place.all(kinds.POD, selector)


def logs(place: Place, found: list[Raw], *, tail: int, follow: bool, previous: bool) -> None:
    """Each line behind the name of its pod. Those that cannot be read are told. Raises Failure."""
    if not found:
        raise Failure("there are no such pods", Exit.NOT_FOUND)
    if not follow:
        for pod in found:
            _print(place, pod, tail, follow=False, previous=previous)
        return
    if len(found) > MOST_FOLLOWED:
        what = f"{len(found)} pods are too many to follow: name a --shard or --component"
        raise Failure(what, Exit.BAD_INPUT)
    options = {"follow": True, "previous": previous}
    threads = [
        threading.Thread(target=_print, args=(place, pod, tail), kwargs=options, daemon=True) for pod in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def text(place: Place, pod: Raw, tail: int, *, previous: bool = False) -> str:
    """Empty when there is none."""
    return "".join(f"{line}\n" for line in _lines(place, pod, tail, follow=False, previous=previous))


def _print(place: Place, pod: Raw, tail: int, *, follow: bool, previous: bool) -> None:
    for line in _lines(place, pod, tail, follow=follow, previous=previous):
        print(f"{pod['metadata']['name']}: {line}", flush=follow)


def _lines(place: Place, pod: Raw, tail: int, *, follow: bool, previous: bool) -> Iterator[str]:
    name = pod["metadata"]["name"]
    try:
        answer: Any = official.CoreV1Api(place.client).read_namespaced_pod_log(
            name, place.namespace, tail_lines=tail, follow=follow, previous=previous, _preload_content=False
        )
    except official.ApiException as error:
        output.note(f"{name}: {error.status} {error.reason}")
        return
    rest = b""
    for chunk in answer.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
