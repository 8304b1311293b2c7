from __future__ import annotations

import pytest
from aidb_coordinator.clocks import ClockWindow


@pytest.mark.parametrize(
    ("case", "offsets", "skew"),
    [
        ("nothing seen", [], 0),
        ("in step", [0, -1, -2, 0], 0),
        ("ahead shows at once", [700], 700),
        ("one slow message", [-3000], 0),
        ("slow messages, one quick", [-3000, -2000, -5, -900], -5),
        ("behind, whatever the way took", [-900, -2000, -905, -910], -900),
        ("set right in the meantime", [-900, -900, -900, -900, -1], -1),
        ("ahead, set right", [700, 0, 0, 0, 0], 0),
    ],
)
def test_the_quickest_message_of_the_window_tells_the_difference(
    case: str, offsets: list[int], skew: int
) -> None:
    window = ClockWindow()
    for offset in offsets:
        window.observe(1_000_000 + offset, 1_000_000)
    assert window.skew_ms() == skew, case
