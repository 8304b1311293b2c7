"""kopf, as a watch engine and nothing else: what it sees goes into the store, and wakes whom it concerns.

No handler detects changes, so kopf writes nothing: no finalizers, no annotations. Deletions that fall into a
gap of a watch (more than the server remembers, some minutes) are not told by kopf; such a gap shows by a
second listing, and then everything is read anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import kopf
from kopf._core.engines.peering import Identity

from aidb_operator import names
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.kubernetes.store import ClusterKey, Store, owner_of

log = logging.getLogger("aidb.operator")

# Servers end watches by themselves after half an hour to an hour; a new one costs no list.
SERVER_SECONDS = 1_800
BEAT_SECONDS = 1.0
# So many lives in a row that were shorter than that are enough.
MOST_FAILURES = 5
LONG_LIFE = 60.0
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)

Wake = Callable[[ClusterKey | None], None]  # None = every cluster


class WatchesFailed(Exception):
    """There is no use in trying on; the message says why."""


class Watching:
    """Runs until `stop`; the store is whole when `ready` is set. `beat`: monotonic time at which the loop
    last lived.
    """

    def __init__(
        self,
        store: Store,
        wake: Wake,
        namespaces: Collection[str],
        watched: Collection[Kind],
        configuration: Any,
    ) -> None:
        self._store = store
        self._wake = wake
        self._namespaces = tuple(namespaces)
        self._watched = tuple(watched)
        self._configuration = configuration
        self._stop = threading.Event()
        self._gap = False
        self._anew = threading.Event()
        self.ready = threading.Event()
        self.beat = time.monotonic()

    def stop(self) -> None:
        self._stop.set()

    def restart(self, watched: Collection[Kind]) -> None:
        """With other kinds."""
        self._watched = tuple(watched)
        self._anew.set()

    def run(self) -> None:
        """Blocks. Returns after `stop`; begins anew when kopf ends or a watch had a gap. Raises WatchesFailed
        when it ends again and again.
        """
        failures = 0
        while not self._stop.is_set():
            began, failure = time.monotonic(), "they ended"
            self._gap = False
            try:
                asyncio.run(self._once())
            except Exception as error:
                log.exception("the watches ended")
                failure = str(error) or type(error).__name__
            if self._stop.is_set():
                return
            if self._gap:
                log.warning("a watch had a gap: everything is read anew")
            failures = 0 if self._gap or time.monotonic() - began > LONG_LIFE else failures + 1
            if failures == MOST_FAILURES:
                raise WatchesFailed(f"the watches failed {failures} times in a row: {failure}")
            self._stop.wait(PAUSES[min(failures, len(PAUSES) - 1)])

    async def _once(self) -> None:
        self._store.clear()
        seen = Seen()
        ended = asyncio.Event()
        ready = asyncio.Event()
        helpers = [
            asyncio.create_task(self._beat(ended)),
            asyncio.create_task(self._tell_ready(ready)),
        ]
        try:
            await kopf.operator(
                registry=self._registry(seen, ended),
                settings=settings(self._watched),
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                standalone=True,
                # Else kopf asks for the name of the user, and a pod's user has none.
                identity=Identity(names.FIELD_MANAGER),
                stop_flag=ended,
                ready_flag=ready,
            )
        finally:
            for helper in helpers:
                helper.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await helper

    async def _beat(self, ended: asyncio.Event) -> None:
        while True:
            self.beat = time.monotonic()
            if self._stop.is_set() or self._anew.is_set():
                self._anew.clear()
                ended.set()
            await asyncio.sleep(BEAT_SECONDS / 4)

    async def _tell_ready(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self.ready.set()

    def _registry(self, seen: Seen, ended: asyncio.Event) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        # Also after a 401: tokens of pods are renewed by the hour.
        async def login(**_: Any) -> kopf.ConnectionInfo:
            return connection(self._configuration)

        kopf.on.login(registry=registry, id="login")(login)
        for kind in self._watched:
            self._follow(registry, kind, seen, ended)
        return registry

    def _follow(self, registry: kopf.OperatorRegistry, kind: Kind, seen: Seen, ended: asyncio.Event) -> None:
        where: dict[str, Any] = {"group": kind.group, "version": kind.version, "plural": kind.plural}

        async def index(body: kopf.Body, **_: Any) -> None:
            self.indexed(seen, kind, dict(body))

        async def event(event: Any, **_: Any) -> None:
            self.told(seen, ended, kind, event["type"], event["object"])

        kopf.index(registry=registry, id=f"{kind.plural}-index", **where)(index)
        kopf.on.event(registry=registry, id=f"{kind.plural}-event", **where)(event)

    def indexed(self, seen: Seen, kind: Kind, raw: Raw) -> None:
        """All of a listing is indexed before any event is told: the first turn sees everything."""
        seen.changed[kind, raw["metadata"]["uid"]] = self._store.put(kind, raw)

    def told(self, seen: Seen, ended: asyncio.Event, kind: Kind, what: str | None, raw: Raw) -> None:
        """`what` is None for what a listing has."""
        key = kind, raw["metadata"]["uid"]
        self._store.whole = True
        if seen.late(key, what):
            self._gap = True
            ended.set()
            return
        if what == "DELETED":
            self._store.remove(kind, raw)
        elif not seen.changed.pop(key, True):
            return
        self._wake(owner_of(kind, raw))


class Seen:
    """What one run of kopf has told."""

    def __init__(self) -> None:
        self.changed: dict[tuple[Kind, str], bool] = {}
        self._told: set[tuple[Kind, str]] = set()

    def late(self, key: tuple[Kind, str], what: str | None) -> bool:
        """Whether this is a listing that has an object of which something was told before."""
        known = key in self._told
        if what == "DELETED":
            self._told.discard(key)
            self.changed.pop(key, None)
        else:
            self._told.add(key)
        return known and what is None


def connection(configuration: Any) -> kopf.ConnectionInfo:
    """As the official client is configured."""
    header = configuration.get_api_key_with_prefix("BearerToken")
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )


def settings(watched: Collection[Kind]) -> kopf.OperatorSettings:
    """What is asked for is what carries the label of a cluster; nothing is written by kopf itself."""
    made = kopf.OperatorSettings()
    made.watching.server_timeout = SERVER_SECONDS
    made.watching.client_timeout = SERVER_SECONDS + 60
    made.watching.connect_timeout = 10
    made.networking.request_timeout = 30
    made.networking.error_backoffs = [1, 1, 2, 3, 5, 5, 10, 10, 20, 20]
    made.scanning.disabled = True
    made.posting.enabled = False
    made.persistence.finalizer = f"{names.GROUP}/operator"
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.GROUP, v1=False)
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=names.GROUP)
    for kind in watched:
        if kind.owned:
            made.watching.label_selectors[kind.group, kind.version, kind.plural] = names.CLUSTER
    return made
