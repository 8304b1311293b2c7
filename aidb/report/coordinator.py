"""What a coordinator knows, of all that may be shown to somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from aidb.report.redaction import without_bytes
from aidb.v1 import cluster_pb2 as pb

# Name of the document, method, request. Hot keys are users' data, and not among them.
CALLS: tuple[tuple[str, str, Message], ...] = (
    ("status", "GetClusterStatus", pb.GetClusterStatusRequest()),
    ("moves", "ListMoves", pb.ListMovesRequest()),
    ("operations", "ListOperations", pb.ListOperationsRequest()),
    ("events", "ListEvents", pb.ListEventsRequest(limit=1000)),
    ("changes", "ListTopologyChanges", pb.ListTopologyChangesRequest(limit=1000)),
    ("scaling", "GetScaling", pb.GetScalingRequest()),
)


def documents(call: Callable[[str, Any], Message]) -> Iterator[tuple[str, Message]]:
    """By path in the archive. What ``call`` raises, is raised."""
    for name, method, request in CALLS:
        yield f"coordinator/{name}.json", call(method, request)


def plain(message: Message) -> Any:
    return MessageToDict(without_bytes(message), preserving_proto_field_name=True)
