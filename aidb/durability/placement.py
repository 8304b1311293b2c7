"""`<cluster uid>/topology/<version>`: the topology as the coordinator stored it (D9).

    header := cluster, version, term, at_ms      body := aidb.v1.Topology, encoded

``at_ms`` is the coordinator's clock when the version began to hold; of a later version it is never
earlier.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from aidb.durability.envelope import Kind, Malformed, number, seal, text, unseal
from aidb.v1 import cluster_pb2 as pb


@dataclass(frozen=True, slots=True)
class Placement:
    """One version of the topology, and since when it holds (ms since 1970)."""

    at_ms: int
    topology: pb.Topology

    def encode(self) -> bytes:
        header = {
            "cluster": self.topology.cluster_uid,
            "version": self.topology.version,
            "term": self.topology.term,
            "at_ms": self.at_ms,
        }
        return seal(Kind.TOPOLOGY, header, self.topology.SerializeToString(deterministic=True))

    @classmethod
    def decode(cls, data: bytes) -> Placement:
        """Raises Malformed."""
        _, header, body = unseal(data, Kind.TOPOLOGY)
        topology = pb.Topology()
        try:
            topology.ParseFromString(bytes(body))
        except DecodeError as error:
            raise Malformed(f"its topology cannot be read: {error}") from error
        found = cls(number(header, "at_ms"), topology)
        number(header, "term")
        found.check(text(header, "cluster"), number(header, "version"))
        return found

    def check(self, cluster_uid: str, version: int) -> None:
        """Raises Malformed when it is another version, or of another cluster."""
        found = self.topology
        if (found.cluster_uid, found.version) != (cluster_uid, version):
            raise Malformed(
                f"it is version {found.version} of cluster {found.cluster_uid}, "
                f"not {version} of {cluster_uid}"
            )

    def same_as(self, other: Placement) -> bool:
        """Terms apart: a new term alone is no new version."""
        mine, theirs = pb.Topology(), pb.Topology()
        mine.CopyFrom(self.topology)
        theirs.CopyFrom(other.topology)
        mine.term = theirs.term = 0
        return mine == theirs
