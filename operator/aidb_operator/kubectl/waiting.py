"""Objects that come to an end: made, and followed to it."""

from __future__ import annotations

import time
from typing import Any

from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb_operator.kubectl.place import Place
from aidb_operator.kubernetes.kinds import Kind, Raw

_POLL = 1.0


def make(place: Place, kind: Kind, name: str | None, prefix: str, spec: dict[str, Any]) -> Raw:
    """Raises Failure."""
    metadata = {"name": name} if name else {"generateName": f"{prefix}-"}
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {**metadata, "namespace": place.namespace},
        "spec": spec,
    }
    return place.create(kind, body)


def follow(place: Place, kind: Kind, made: Raw, how: Output, *, wait: bool, timeout: float) -> None:
    """Until it is complete. Raises Failure when it has failed, or time is over."""
    name = made["metadata"]["name"]
    if not wait:
        _told(made, how)
        return
    output.note(f"{kind.name} {name}: waiting; it goes on without this command")
    ends, said = time.monotonic() + timeout, ""
    while True:
        found = place.get(kind, name)
        conditions = {one["type"]: one for one in found.get("status", {}).get("conditions", ())}
        complete, failed = conditions.get("Complete", {}), conditions.get("Failed", {})
        if complete.get("status") == "True":
            _told(found, how)
            return
        if failed.get("status") == "True":
            raise Failure(f"{kind.name} {name} failed: {failed.get('message', '')}")
        if complete.get("message", said) != said:
            said = complete["message"]
            output.note(f"  {said}")
        if time.monotonic() > ends:
            raise Failure(f"{kind.name} {name} is not complete in time; it goes on", Exit.UNAVAILABLE)
        time.sleep(_POLL)


def _told(raw: Raw, how: Output) -> None:
    name, told = raw["metadata"]["name"], raw.get("status", {})
    if how is Output.JSON:
        output.document({"name": name, "spec": raw.get("spec", {}), "status": told})
    else:
        print(" ".join(filter(None, (f"{raw['kind']} {name}", told.get("phase"), told.get("time")))))
