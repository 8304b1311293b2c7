"""A document in a ConfigMap, replaced by compare-and-swap, one writer at a time.

    metadata.annotations["aidb.io/revision"]   random, of the write that put the document there
    binaryData["document"]                     the document; beyond `PLAIN_BYTES`, after zlib

A write is conditional on the object's resourceVersion, which anybody changes who touches a label; what it
expects is the revision *and* the content. So when the version has moved, the object is read: with one's own
revision the write was done and only its answer lost, with the expected one somebody touched something else
and it is written anew, else there was another writer. A write without an answer is repeated with the same
revision until one of these is seen, or until the right to write ends. Then, and when another's write is found
after an answer was lost, nobody knows (StoreBroken).
"""

from __future__ import annotations

import base64
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aidb_coordinator.kubernetes.api import Api, ApiError, Changed, NoAnswer, NotFound, path_of
from aidb_coordinator.store import Conflict, LeadershipEnded, StoreBroken, StoreError

KEY = "document"
REVISION = "aidb.io/revision"
# What people can read as it is; more would come near the megabyte that an object may have.
PLAIN_BYTES = 256 << 10
# All that an object may hold is 1 MiB.
MOST_BYTES = 1_000_000
_MOST_UNPACKED = 64 << 20
_TIMEOUT = 5.0
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Held:
    """The document, its revision, and the version of the object that it was seen in."""

    content: bytes
    revision: str
    version: str


class ConfigMapDocument:
    """Calls block; they are made from one thread at a time."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        labels: dict[str, str],
        leads: Callable[[], bool],
    ) -> None:
        """`leads`: whether this process still may write."""
        self._api = api
        self._all = path_of(namespace, "configmaps")
        self._path = path_of(namespace, "configmaps", name)
        self._name = name
        self._labels = labels
        self._leads = leads
        self._held: Held | None = None
        self.place = f"ConfigMap {namespace}/{name}"

    def read(self) -> Held | None:
        """None: there is none. Raises StoreError."""
        while True:
            try:
                self._held = self._get()
                return self._held
            except NoAnswer as error:
                self._pause(StoreError(f"cannot read {self.place}: {error}"))

    def write(self, expected: str | None, content: bytes) -> Held:
        """Replaces the document of revision `expected` (None: nothing yet). Raises Conflict, StoreError,
        StoreBroken.
        """
        if not self._leads():
            raise LeadershipEnded(f"{self.place} is another coordinator's to write: this one leads no more")
        held = self._held
        if (held.revision if held else None) != expected:
            raise Conflict(f"{self.place} is not at revision {expected}")
        stored = _packed(content)
        if len(stored) > MOST_BYTES:
            raise StoreError(f"{self.place} cannot hold {len(stored)} bytes: {MOST_BYTES} are the most")
        revision = uuid.uuid4().hex
        unanswered = False
        while True:
            try:
                version = self._put(stored, revision, held)
            except (Changed, NotFound):
                found = self._found()
                if found is not None and found.revision == revision:
                    version = found.version
                elif not _is_same(found, held):
                    if unanswered:
                        # It may have been there for a moment, and the other have read it.
                        raise StoreBroken(
                            f"cannot tell whether {self.place} was written before somebody else changed it"
                        ) from None
                    raise Conflict(f"{self.place} was changed by somebody else") from None
                else:
                    held = found
                    continue
            except NoAnswer as error:
                unanswered = True
                self._pause(StoreBroken(f"cannot tell whether {self.place} was written: {error}"))
                continue
            except ApiError as error:
                if unanswered:
                    raise StoreBroken(f"cannot tell whether {self.place} was written: {error}") from error
                raise StoreError(f"cannot write {self.place}: {error}; nothing was changed") from error
            self._held = Held(content, revision, version)
            return self._held

    def _found(self) -> Held | None:
        """What is there after a write that may be one's own. Raises StoreBroken."""
        while True:
            try:
                return self._get()
            except NoAnswer as error:
                self._pause(StoreBroken(f"cannot tell whether {self.place} was written: {error}"))
            except StoreError as error:
                raise StoreBroken(str(error)) from error

    def _get(self) -> Held | None:
        """Raises NoAnswer, StoreError."""
        try:
            found = self._api.get(self._path, _TIMEOUT)
            metadata = found["metadata"]
            text = (found.get("binaryData") or {}).get(KEY)
            if text is None:
                raise StoreError(
                    f"{self.place} holds no {KEY}: delete it if it was made by hand, else put it back"
                )
            content = _unpacked(base64.b64decode(text, validate=True))
            revision = (metadata.get("annotations") or {}).get(REVISION, "")
            return Held(content, revision, metadata["resourceVersion"])
        except NotFound:
            return None
        except NoAnswer:
            raise
        except ApiError as error:
            raise StoreError(f"cannot read {self.place}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise StoreError(f"{self.place} is damaged: {error}; put its last copy back") from error

    def _put(self, stored: bytes, revision: str, held: Held | None) -> str:
        """The version that it became. Raises ApiError."""
        metadata: dict[str, Any] = {
            "name": self._name,
            "labels": self._labels,
            "annotations": {REVISION: revision},
        }
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "binaryData": {KEY: base64.b64encode(stored).decode()},
        }
        if held is None:
            answer = self._api.create(self._all, body, _TIMEOUT)
        else:
            metadata["resourceVersion"] = held.version
            answer = self._api.merge(self._path, body, _TIMEOUT)
        return str(answer["metadata"]["resourceVersion"])

    def _pause(self, error: StoreError) -> None:
        """Raises `error` when the right to write has ended."""
        time.sleep(_PAUSE)
        if not self._leads():
            raise error


def _is_same(found: Held | None, held: Held | None) -> bool:
    if found is None or held is None:
        return found is held
    return (found.revision, found.content) == (held.revision, held.content)


def _packed(content: bytes) -> bytes:
    return content if len(content) <= PLAIN_BYTES else zlib.compress(content)


def _unpacked(stored: bytes) -> bytes:
    """Raises zlib.error. What we keep plainly is JSON, and no JSON begins as zlib's streams do."""
    return zlib.decompressobj().decompress(stored, _MOST_UNPACKED) if stored[:1] == b"\x78" else stored
