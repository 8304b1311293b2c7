"""Secrets as the API has them, and what is read of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aidb_operator.kubernetes.kinds import SECRET, Raw
from aidb_operator.names import FIELD_MANAGER

MANAGED_BY = "app.kubernetes.io/managed-by"
WRITTEN_AT = "aidb.io/written-at"
# The value of the cluster's annotation of that purpose that was obeyed last.
RENEWED_FOR = "aidb.io/renewed-for"

TLS = "kubernetes.io/tls"
OPAQUE = "Opaque"


@dataclass(frozen=True, slots=True)
class Secret:
    """What there is of one: empty where there is none. ``foreign``: somebody else's."""

    exists: bool = False
    foreign: bool = False
    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    @classmethod
    def of(cls, found: Mapping[str, Any] | None) -> Secret:
        """What cannot be decoded is absent."""
        if found is None:
            return cls()
        metadata = found.get("metadata") or {}
        labels = metadata.get("labels") or {}
        return cls(
            exists=True,
            foreign=labels.get(MANAGED_BY) != FIELD_MANAGER,
            data=dict(_decoded(found.get("data") or {})),
            annotations=metadata.get("annotations") or {},
            version=metadata.get("resourceVersion", ""),
        )

    def pem(self, name: str) -> bytes:
        return self.data.get(name, b"")

    @property
    def written_at(self) -> datetime | None:
        return time_of(self.annotations.get(WRITTEN_AT, ""))


def manifest(
    base: Mapping[str, Any],
    name: str,
    kind: str,
    data: Mapping[str, bytes],
    annotations: Mapping[str, str],
    replaces: Secret,
) -> Raw:
    """``base``: metadata of the cluster's objects. One that replaces another names that one's version, so
    that it is refused when somebody else was faster.
    """
    metadata = {**base, "name": name, "annotations": dict(annotations)}
    if replaces.version:
        metadata["resourceVersion"] = replaces.version
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.name,
        "metadata": metadata,
        "type": kind,
        "data": {key: base64.b64encode(value).decode() for key, value in sorted(data.items())},
    }


def text_of(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _decoded(data: Mapping[str, str]) -> list[tuple[str, bytes]]:
    decoded = []
    for name, value in data.items():
        try:
            decoded.append((name, base64.b64decode(value, validate=True)))
        except (binascii.Error, ValueError):
            continue
    return decoded
