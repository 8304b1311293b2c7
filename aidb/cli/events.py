"""`aidb events`."""

from __future__ import annotations

import time
from typing import Any

from aidb.cli import output
from aidb.cli.connection import coordination, find_address
from aidb.v1 import cluster_pb2 as pb


def events(address: str | None, timeout: float, after: int, limit: int, as_json: bool) -> None:
    """Print what the coordinator recorded, oldest first."""
    with coordination(find_address(address)) as stub:
        answer = stub.ListEvents(pb.ListEventsRequest(after=after, limit=limit), timeout=timeout)
    found = [_document(event) for event in answer.events]
    if as_json:
        output.document(found)
        return
    rows = [[str(e["seq"]), e["time"], e["severity"], e["reason"], e["subject"], e["message"]] for e in found]
    output.table(("SEQ", "TIME", "SEVERITY", "REASON", "SUBJECT", "MESSAGE"), rows)


def _document(event: pb.Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event.unix_ms / 1000)),
        "severity": pb.Event.Severity.Name(event.severity).removeprefix("SEVERITY_").lower(),
        "reason": event.reason,
        "subject": event.subject,
        "message": event.message,
    }
