"""Carries the election out: one thread, which reads, renews and follows the Lease until it is stopped."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from aidb_coordinator.clock import Clock
from aidb_coordinator.kubernetes.api import Api, ApiError, Changed, NoAnswer, NotFound, Watch, path_of
from aidb_coordinator.leadership.election import Election, Follow, Read, Record, Rest, Rules, Write
from aidb_coordinator.leadership.record import from_lease, to_lease

log = logging.getLogger("aidb.coordinator")

GROUP = "coordination.k8s.io"
# Of the last words: whoever waits for the Lease is told, or has to be patient.
RELEASE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Leadership:
    """`number` counts this process's leaderships; `until` in seconds of the clock."""

    number: int
    until: float


class Elector:
    """`start`, then read `leadership` as often as needed, then `stop`, which gives the Lease up."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        holder: str,
        labels: dict[str, str],
        rules: Rules,
        changed: Callable[[], None],
        clock: Clock | None = None,
    ) -> None:
        """`changed` is called by the thread when a leadership has begun or ended."""
        self._api = api
        self._all = path_of(namespace, "leases", group=GROUP)
        self._path = path_of(namespace, "leases", name, group=GROUP)
        self._name = name
        self._labels = labels
        self._rules = rules
        self._changed = changed
        self._clock = clock or Clock()
        self._timeout = max(1.0, rules.duration / 5)
        self._election = Election(holder, uuid.uuid4().hex, rules)
        self._stopping = threading.Event()
        self._watch: Watch | None = None
        self._watch_lock = threading.Lock()
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)
        self.leadership = Leadership(0, self._election.leads_until)

    @property
    def holder(self) -> str:
        """As it was seen last."""
        return self._election.seen.holder

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Leads no more from now on."""
        self._stopping.set()
        self._end_watch()
        self._thread.join()
        self._election, record = self._election.given_up()
        self._publish()
        try:
            if record is not None:
                self._api.merge(self._path, self._lease(record), RELEASE_SECONDS)
        except Changed:
            # A renewal whose answer nobody waited for.
            self._give_up_what_is_there()
        except ApiError as error:
            log.warning("the Lease %s ends by itself: %s", self._name, error)

    def _give_up_what_is_there(self) -> None:
        with contextlib.suppress(ApiError):
            found = self._election.observed(self._read(), self._clock.monotonic())
            _, record = found.given_up()
            if record is not None:
                self._api.merge(self._path, self._lease(record), RELEASE_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except Exception as error:
                # Whatever it is: nobody may lead by a thread that has died.
                self._trouble(error)
                self._election = self._election.unanswered(self._clock.monotonic())
            self._publish()

    def _step(self) -> None:
        """Raises ApiError, and what a damaged Lease raises."""
        match self._election.next(self._clock.monotonic(), self._clock.wall_ms()):
            case Read():
                self._election = self._election.observed(self._read(), self._clock.monotonic())
            case Write(record):
                self._write(record)
            case Follow(until):
                self._follow(until)
            case Rest(until):
                self._stopping.wait(max(0.0, until - self._clock.monotonic()))

    def _read(self) -> Record:
        try:
            return from_lease(self._api.get(self._path, self._timeout))
        except NotFound:
            return Record()

    def _write(self, record: Record) -> None:
        sent = self._clock.monotonic()
        try:
            if record.revision:
                lease = self._api.merge(self._path, self._lease(record), self._timeout)
            else:
                lease = self._api.create(self._all, self._lease(record), self._timeout)
        except (Changed, NotFound):
            self._election = self._election.conflicted()
            return
        self._told = ""
        self._election = self._election.wrote(from_lease(lease), sent, self._clock.monotonic())

    def _follow(self, until: float) -> None:
        """Until the time comes, or the watch ends."""
        began = self._clock.monotonic()
        left = until - began
        seen = self._election.seen
        query = {"fieldSelector": f"metadata.name={self._name}"}
        if seen.revision:
            query["resourceVersion"] = seen.revision
        with self._api.watch(self._all, max(0.1, left), **query) as watch:
            with self._watch_lock:
                self._watch = watch
            if self._stopping.is_set():
                return
            # Silence for as long as was left, or a connection that broke: the next step decides.
            with contextlib.suppress(NoAnswer):
                self._take_events(watch)
            with self._watch_lock:
                self._watch = None
        if self._clock.monotonic() < began + self._rules.pause:
            self._stopping.wait(self._rules.pause)

    def _take_events(self, watch: Watch) -> None:
        for kind, lease in watch:
            now = self._clock.monotonic()
            if kind == "DELETED":
                self._election = self._election.observed(Record(), now)
            elif kind in ("ADDED", "MODIFIED"):
                self._election = self._election.observed(from_lease(lease), now)
            else:  # what was seen is too old to go on from
                self._election = self._election.conflicted()
            if not isinstance(self._election.next(now, 0), Follow) or self._stopping.is_set():
                return

    def _end_watch(self) -> None:
        with self._watch_lock:
            if self._watch is not None:
                self._watch.close()

    def _lease(self, record: Record) -> dict[str, object]:
        return to_lease(record, self._name, self._labels, self._clock.wall_ms())

    def _publish(self) -> None:
        """A leadership that has ended begins with the next number."""
        now, before = self._clock.monotonic(), self.leadership
        election = self._election
        led, leads = now < before.until, election.leads(now)
        number = before.number + (1 if leads and not led else 0)
        self.leadership = Leadership(number, election.leads_until)
        if led != leads or number != before.number:
            self._changed()

    def _trouble(self, error: BaseException) -> None:
        """Told once, until it is over."""
        if self._told != type(error).__name__:
            self._told = type(error).__name__
            known = isinstance(error, ApiError)
            log.warning("the Lease %s: %s", self._name, error, exc_info=None if known else error)
