"""What a restore cannot give back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """Records after ``after_lsn`` through ``through_lsn`` (None: the end of the log is not known) are
    lost; clocks are the shard's, in ms.
    """

    reason: str
    after_lsn: int
    after_clock_ms: int
    through_lsn: int | None
    through_clock_ms: int | None


class Lossy(Exception):
    """The log cannot be followed to where it was asked for. Nothing was put in place."""

    def __init__(self, loss: Loss) -> None:
        through = "an unknown end" if loss.through_lsn is None else f"lsn {loss.through_lsn}"
        super().__init__(
            f"the records after lsn {loss.after_lsn} through {through} are lost: {loss.reason}; "
            "say --accept-loss to restore what is before them"
        )
        self.loss = loss
