"""`topology history`: who changed the topology, and what."""

from __future__ import annotations

from typing import Any

from aidb.admin.show import moment
from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.cli.exits import Exit
from aidb.cli.parameters import Output
from aidb.v1 import cluster_pb2 as pb

_CALL_SECONDS = 10.0


def history(address: str | None, after: int, limit: int, how: Output) -> int:
    """The newest ``limit`` versions above ``after``, oldest first. Raises Failure."""
    with coordination(find_address(address)) as stub:
        answer: pb.ListTopologyChangesResponse = stub.ListTopologyChanges(
            pb.ListTopologyChangesRequest(after=after, limit=limit), timeout=_CALL_SECONDS
        )
    found = [document(change) for change in answer.changes]
    if how is Output.JSON:
        output.document(found)
        return int(Exit.OK)
    rows = []
    for one in found:
        what = one["what"] or [""]
        rows.append((f"{one['version']}", moment(one["unix_ms"]), f"{one['term']}", one["by"], what[0]))
        rows += [("", "", "", "", more) for more in what[1:]]
    output.table(("VERSION", "TIME", "TERM", "BY", "WHAT"), rows)
    return int(Exit.OK)


def document(change: pb.TopologyChange) -> dict[str, Any]:
    """What ``-o json`` says of a version."""
    return {
        "version": change.version,
        "unix_ms": change.unix_ms,
        "term": change.term,
        "by": change.by,
        "what": list(change.what),
    }
