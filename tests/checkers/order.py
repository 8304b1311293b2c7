"""What a read must at least show: the common part of the checkers of session, bounded and durable reads.

Versions order the writes of a key. An absent key has none, so it stands for the oldest delete that would
do.
"""

from __future__ import annotations

from bisect import bisect_left

from tests.checkers.history import Operation, Outcome


class Writes:
    """The writes of one key, as far as they are known."""

    def __init__(self, operations: list[Operation]) -> None:
        writes = [operation for operation in operations if operation.writes]
        self._starts = {write.value: write.start for write in writes if write.value is not None}
        self._deletes = sorted((write.version, write.start) for write in writes if _known_delete(write))
        self._unknown_deletes = [
            write.start for write in writes if write.value is None and write.outcome is Outcome.UNKNOWN
        ]

    def why_not(self, read: Operation, least: int) -> str | None:
        """Why ``read`` may not answer what it did when it has to show version ``least`` or newer."""
        if read.value is None:
            return (
                None if self.shown(read, least) is not None else f"absent, but version {least} must be shown"
            )
        if read.version < least:
            return f"version {least} or newer must be shown"
        if self._starts.get(read.value, read.end + 1) > read.end:
            return "nobody had written that value"
        return None

    def shown(self, read: Operation, least: int) -> int | None:
        """The lowest version >= ``least`` that ``read`` may stand for; None = there is none."""
        if read.value is not None:
            return read.version if read.version >= least else None
        if least == 0 or any(start <= read.end for start in self._unknown_deletes):
            return least
        for version, start in self._deletes[bisect_left(self._deletes, (least, 0)) :]:
            if start <= read.end:
                return version
        return None


def _known_delete(write: Operation) -> bool:
    return write.value is None and write.outcome is Outcome.OK
