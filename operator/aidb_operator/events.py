"""Events of a cluster, for `kubectl describe`. Reasons are stable and PascalCase; messages are for people."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.api import Api, ApiError
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import FIELD_MANAGER
from aidb_operator.plan.outcome import Event

log = logging.getLogger("aidb.operator")

# Seconds in which the same words are said once, and how many words are remembered.
SILENCE = 3600.0
MOST = 2048
LONGEST_NOTE = 1024


class Events:
    """Thread-safe. Events that cannot be posted are logged: they are told, not relied on."""

    def __init__(self, api: Api, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str, str], float] = {}

    def post(self, about: Raw, events: Sequence[Event]) -> None:
        """Those of one reason as one."""
        for event in grouped(events):
            uid = about["metadata"]["uid"]
            if not self._first(uid, event):
                continue
            level = logging.WARNING if event.warning else logging.INFO
            name = f"{about['metadata'].get('namespace', '')}/{about['metadata']['name']}"
            log.log(level, "%s: %s: %s", name, event.reason, event.message)
            try:
                self._api.create(
                    kinds.EVENT, about["metadata"]["namespace"], body_of(about, event, self._instance)
                )
            except ApiError as error:
                log.warning("an event could not be posted: %s", error)

    def _first(self, uid: str, event: Event) -> bool:
        key, now = (uid, event.reason, event.message), self._clock()
        with self._lock:
            said = self._said.pop(key, None)
            # Again at the end: the oldest go first when there are too many.
            self._said[key] = now if said is None or now - said > SILENCE else said
            while len(self._said) > MOST:
                del self._said[next(iter(self._said))]
        return said is None or now - said > SILENCE


def grouped(events: Iterable[Event]) -> list[Event]:
    messages: dict[tuple[str, bool], list[str]] = {}
    for event in events:
        messages.setdefault((event.reason, event.warning), []).append(event.message)
    return [Event(reason, "; ".join(said), warning) for (reason, warning), said in messages.items()]


def body_of(about: Raw, event: Event, instance: str) -> Raw:
    metadata = about["metadata"]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    note = event.message if len(event.message) <= LONGEST_NOTE else event.message[: LONGEST_NOTE - 1] + "…"
    return {
        "apiVersion": kinds.EVENT.api_version,
        "kind": kinds.EVENT.name,
        "metadata": {
            "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
            "namespace": metadata["namespace"],
        },
        "eventTime": now,
        "reportingController": FIELD_MANAGER,
        "reportingInstance": instance,
        "action": event.reason,
        "reason": event.reason,
        "note": note,
        "type": "Warning" if event.warning else "Normal",
        "regarding": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
    }
