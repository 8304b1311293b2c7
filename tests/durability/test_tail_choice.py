"""Which member's tail a taker goes on with (D5), and when it stops."""

from __future__ import annotations

import pytest
from aidb_node.recovery.tail import Run, SealedTail, choose

from aidb.durability.loss import Lossy


def test_the_longest_that_has_no_gap_after_the_cut() -> None:
    tails = [
        SealedTail("a", (Run(5, 12, True),)),
        SealedTail("b", (Run(8, 15, True), Run(9, 11, True))),
        SealedTail("c", (Run(11, 99, True),)),
    ]
    chosen = choose(10, 0, tails)
    assert (chosen.name, chosen.run) == ("b", Run(8, 15, True))


def test_one_member_is_enough_and_may_have_nothing_beyond_the_cut() -> None:
    tails = [SealedTail("a", problem="refused"), SealedTail("b", (Run(8, 10, True),))]
    assert choose(10, 0, tails).run is None


def test_an_empty_set_promised_nothing_beyond_the_cut() -> None:
    assert choose(10, 0, []).run is None


@pytest.mark.parametrize(
    ("tail", "said", "through"),
    [
        (SealedTail("a", problem="10.0.0.1:1: refused"), "a was not reached (10.0.0.1:1: refused)", None),
        (SealedTail("a"), "a holds nothing: it has restarted", None),
        (SealedTail("a", (Run(12, 15, True),)), "a holds the log from lsn 12 on", 15),
        (SealedTail("a", (Run(9, 15, False),)), "through lsn 15, but had not caught up", 15),
    ],
)
def test_a_taker_stops_and_says_what_is_lost(tail: SealedTail, said: str, through: int | None) -> None:
    with pytest.raises(Lossy) as raised:
        choose(10, 77, [tail, SealedTail("b", problem="gone")])
    loss = raised.value.loss
    assert said in loss.reason
    assert "b was not reached" in loss.reason
    assert (loss.after_lsn, loss.after_clock_ms, loss.through_lsn) == (10, 77, through)
