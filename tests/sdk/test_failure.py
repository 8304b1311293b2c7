"""What a failed call says when no server's own words came with it."""

from __future__ import annotations

import pytest

from aidb.errors import ErrorCode
from aidb.failure import failure_of_status
from aidb.policy import Cause, Transport


@pytest.mark.parametrize(
    ("status", "details", "cause"),
    [
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Transport.TIMEOUT),
        ("CANCELLED", "Timeout expired", Transport.TIMEOUT),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: ...", Transport.UNREACHABLE),
        ("UNAVAILABLE", "Socket closed", Transport.LOST),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs. 4)", ErrorCode.BATCH_TOO_LARGE),
        ("UNIMPLEMENTED", "", ErrorCode.UNSUPPORTED),
        ("INTERNAL", "RST_STREAM", Transport.LOST),
    ],
)
def test_only_what_was_surely_not_sent_counts_as_that(status: str, details: str, cause: Cause) -> None:
    assert failure_of_status(status, details, None, "host:1").cause == cause
