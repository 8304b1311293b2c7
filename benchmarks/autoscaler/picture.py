"""A run as a picture in plain SVG: load and capacity of reads and writes, replicas, shards, lost metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from benchmarks.autoscaler.simulate import Moment
from benchmarks.autoscaler.traces import Trace

_WIDTH, _LEFT, _RIGHT = 960, 90, 20
_TOP, _LANE, _SPACE = 44, 110, 26
_BACKGROUND, _INK, _GRID, _LOST = "#ffffff", "#333333", "#dddddd", "#f2dede"
_LOAD, _CAPACITY, _COUNT = "#1f77b4", "#2ca02c", "#444444"
_MOST_POINTS = 900

Series = tuple[str, str, Sequence[float]]


def draw(trace: Trace, moments: Sequence[Moment]) -> str:
    """The SVG document."""
    lanes: list[tuple[str, list[Series]]] = [
        (
            "reads/s",
            [
                ("capacity", _CAPACITY, [moment.capacity[0] for moment in moments]),
                ("load", _LOAD, [moment.load.reads for moment in moments]),
            ],
        ),
        (
            "writes/s",
            [
                ("capacity", _CAPACITY, [moment.capacity[1] for moment in moments]),
                ("load", _LOAD, [moment.load.writes for moment in moments]),
            ],
        ),
        ("replicas", [("", _COUNT, [moment.replicas for moment in moments])]),
        ("shards", [("", _COUNT, [moment.shards for moment in moments])]),
    ]
    height = _TOP + len(lanes) * (_LANE + _SPACE) + 14
    x = _Scale(0, trace.seconds, _LEFT, _WIDTH - _RIGHT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="{_BACKGROUND}"/>',
        _text(_LEFT, 20, f"{trace.name}: {trace.about} (seed {trace.seed})", size=15),
        _text(_WIDTH - _RIGHT, 20, "load", anchor="end", color=_LOAD),
        _text(_WIDTH - _RIGHT - 40, 20, "capacity", anchor="end", color=_CAPACITY),
    ]
    bottom = _TOP + len(lanes) * (_LANE + _SPACE) - _SPACE
    parts += [
        f'<rect x="{x.of(begin):.1f}" y="{_TOP}" width="{max(1.0, x.of(end) - x.of(begin)):.1f}" '
        f'height="{bottom - _TOP}" fill="{_LOST}"/>'
        for begin, end in trace.lost
    ]
    if trace.lost:
        parts.append(_text(_WIDTH - _RIGHT - 110, 20, "no metrics", anchor="end", color="#c9a0a0"))
    times = [moment.at for moment in moments]
    for number, (name, series) in enumerate(lanes):
        parts += _lane(name, series, times, x, _TOP + number * (_LANE + _SPACE))
    parts += _time_axis(trace.seconds, x, bottom)
    return "\n".join([*parts, "</svg>", ""])


def _lane(name: str, series: list[Series], times: Sequence[float], x: _Scale, top: int) -> Iterable[str]:
    most = max(max(values) for _, _, values in series) or 1.0
    y = _Scale(0, most * 1.05, top + _LANE, top)
    for value in (0.0, most / 2, most):
        yield f'<path d="M{_LEFT} {y.of(value):.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>'
        if value != most / 2:
            yield _text(_LEFT - 6, y.of(value) + 4, _short(value), anchor="end")
    yield _text(_LEFT - 6, top + _LANE / 2 + 4, name, anchor="end")
    for _, color, values in series:
        yield (
            f'<path d="{_steps(times, values, x, y)}" fill="none" stroke="{color}" stroke-width="1.5" '
            'stroke-linejoin="round"/>'
        )


def _steps(times: Sequence[float], values: Sequence[float], x: _Scale, y: _Scale) -> str:
    """A line of steps, without the points that change nothing that can be seen."""
    every = max(1, len(times) // _MOST_POINTS)
    path, last = f"M{x.of(times[0]):.1f} {y.of(values[0]):.1f}", values[0]
    for at, value in list(zip(times, values, strict=True))[::every]:
        if value != last:
            path += f"H{x.of(at):.1f}V{y.of(value):.1f}"
            last = value
    return path + f"H{x.of(times[-1]):.1f}"


def _time_axis(seconds: float, x: _Scale, bottom: int) -> Iterable[str]:
    unit, name = (3_600, "h") if seconds > 10_800 else (60, "min")
    steps = (1, 2, 6, 12, 24) if name == "h" else (5, 10, 15, 30)
    step = next((step for step in steps if seconds / unit / step <= 12), steps[-1])
    for mark in range(0, int(seconds / unit) + 1, step):
        yield _text(x.of(mark * unit), bottom + 18, f"{mark} {name}", anchor="middle")


def _text(x: float, y: float, text: str, anchor: str = "start", color: str = _INK, size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _short(value: float) -> str:
    return f"{value / 1000:,.0f} k" if value >= 2_000 else f"{value:,.0f}"


class _Scale:
    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._start = low, start
        self._slope = (end - start) / (high - low)

    def of(self, value: float) -> float:
        return self._start + (value - self._low) * self._slope
