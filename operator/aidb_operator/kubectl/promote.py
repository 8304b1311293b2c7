"""`promote`: the next incarnation of a shard's primary, on a volume of its own."""

from __future__ import annotations

from aidb.cli import output
from aidb.cli.parameters import Output
from aidb.v1 import cluster_pb2 as pb
from aidb_operator.kubectl.leader import coordinator
from aidb_operator.kubectl.place import Place


def promote(place: Place, name: str | None, shard: int, how: Output, *, planned: bool) -> None:
    """Raises Failure."""
    cluster = place.cluster(name)
    request = pb.WantSuccessorRequest(shard=shard, planned=planned, reason="kubectl aidb promote")
    with coordinator(place, cluster) as leader:
        answer = leader.call("WantSuccessor", request)
    kind = "a hand-over" if planned else "a takeover"
    if how is Output.JSON:
        output.document({"shard": shard, "incarnation": answer.incarnation, "planned": planned})
    else:
        print(f"shard {shard}: incarnation {answer.incarnation} is wanted, by {kind}")
