"""Names of objects.

    <cluster uid>/cluster                       the stamp (D8)
    <cluster uid>/topology/<version>            the topology as it was from some time on (D9)
    <cluster uid>/given-up/<from>-<until>       times that a restore of the cluster gave up (D9)
    <cluster uid>/<shard>/epoch/<n>             claim
    <cluster uid>/<shard>/e<epoch>/log/<seq>    a piece of the log, or the seal: one name, so that they
    collide
    <cluster uid>/<shard>/e<epoch>/manifest/<seq>
    <cluster uid>/<shard>/sst/<sha256>
    <cluster uid>/<shard>/hold/<id>             somebody is at work: restore, snapshot or retention

Numbers have twelve digits, so that names sort as numbers do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DIGITS = 12
LARGEST = 10**DIGITS - 1
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IN_EPOCH = re.compile(r"e(\d{12})/(log|manifest)/(\d{12})")


@dataclass(frozen=True, slots=True)
class Names:
    """Of one shard's objects."""

    cluster_uid: str
    shard: int

    def __post_init__(self) -> None:
        if not _UID.fullmatch(self.cluster_uid) or self.shard < 0:
            raise ValueError(f"{self.cluster_uid!r}/{self.shard} names no shard of a cluster")

    @property
    def root(self) -> str:
        """With the slash at its end."""
        return f"{self.cluster_uid}/{self.shard}/"

    @property
    def claims(self) -> str:
        return f"{self.root}epoch/"

    @property
    def tables(self) -> str:
        return f"{self.root}sst/"

    @property
    def holds(self) -> str:
        return f"{self.root}hold/"

    def claim(self, epoch: int) -> str:
        return f"{self.claims}{_number(epoch)}"

    def logs(self, epoch: int) -> str:
        return f"{self.root}e{_number(epoch)}/log/"

    def log(self, epoch: int, sequence: int) -> str:
        return f"{self.logs(epoch)}{_number(sequence)}"

    def manifests(self, epoch: int) -> str:
        return f"{self.root}e{_number(epoch)}/manifest/"

    def manifest(self, epoch: int, sequence: int) -> str:
        return f"{self.manifests(epoch)}{_number(sequence)}"

    def table(self, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is no SHA-256")
        return f"{self.tables}{sha256}"

    def hold(self, id: str) -> str:
        return f"{self.holds}{id}"

    def place(self, key: str) -> tuple[int, int] | None:
        """(epoch, sequence) of a piece of the log or a manifest."""
        found = _IN_EPOCH.fullmatch(key.removeprefix(self.root))
        return (int(found[1]), int(found[3])) if found else None


def stamp(cluster_uid: str) -> str:
    return f"{cluster_uid}/cluster"


def topologies(cluster_uid: str) -> str:
    return f"{cluster_uid}/topology/"


def topology(cluster_uid: str, version: int) -> str:
    return f"{topologies(cluster_uid)}{_number(version)}"


def given_up(cluster_uid: str) -> str:
    return f"{cluster_uid}/given-up/"


def last_number(key: str) -> int | None:
    """The number that a key ends with."""
    text = key.rpartition("/")[2]
    return int(text) if text.isdecimal() and len(text) == DIGITS else None


def _number(value: int) -> str:
    if not 0 <= value <= LARGEST:
        raise ValueError(f"{value} has no name: numbers go from 0 to {LARGEST}")
    return f"{value:0{DIGITS}}"
