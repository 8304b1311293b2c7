"""`aidb top`, drawn."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aidb.cli.output import human_bytes
from aidb.cli.status import mode_name
from aidb.cli.top.board import Board, MemberRow, ShardRow, Sort
from aidb.v1 import cluster_pb2 as cluster

_SHARD_STYLES = {
    cluster.SHARD_RUNNING: "green",
    cluster.SHARD_DEGRADED: "yellow",
    cluster.SHARD_STOPPED: "bold red",
}
_MEMBER_STYLES = {cluster.MEMBER_HEALTHY: "green", cluster.MEMBER_FAILED: "bold red"}
_KEYS = "q quit   o sort   up/down choose   enter shard   p pause"
_FIGURES = ("READS/S", "WRITES/S", "P99 GET", "P99 PUT", "HITS")
_MOST_WORK = 8
# Columns that a screen shows from so many characters on.
_WIDE = {
    "CPU": 90,
    "BYTES": 100,
    "BACKUP": 100,
    "ADDRESS": 100,
    "STALE": 100,
    "REASON": 110,
    "SLOTS": 120,
    "KEYS": 120,
}
_MOST_SLOTS = 5


@dataclass(slots=True)
class View:
    """What the user chose. ``opened``: the shard that is looked into; ``problem``: why nothing newer is seen,
    ``age`` (seconds) of what is shown; ``width`` of the screen, in characters.
    """

    sort: Sort = "shard"
    chosen: int = 0
    opened: int | None = None
    paused: bool = False
    problem: str = ""
    age: float = 0.0
    width: int = 150


def screen(board: Board, view: View) -> RenderableType:
    parts: list[RenderableType] = [_head(board, view), ""]
    opened = next((row for row in board.shards if row.status.id == view.opened), None)
    if opened is not None:
        parts += [_shard_facts(opened), _members(opened.members)]
    else:
        parts.append(_shards(board, view))
        if board.unhealthy:
            parts += ["", Text("not healthy", style="bold"), _members(board.unhealthy)]
        if board.routers:
            parts += ["", _routers(board.routers)]
    if board.under_way:
        parts += ["", _work(board)]
    if board.status.hot_slots:
        parts += ["", _hot_slots(board)]
    parts += ["", Text(_KEYS, style="dim")]
    return Group(*(_fitted(part, view.width) if isinstance(part, Table) else part for part in parts))


def _fitted(table: Table, width: int) -> Table:
    """Without the columns that are for wider screens."""
    kept = [column for column in table.columns if _WIDE.get(str(column.header), 0) <= width]
    if len(kept) == len(table.columns):
        return table
    fitted = _table()
    for column in kept:
        fitted.add_column(column.header, justify=column.justify, no_wrap=True, overflow=column.overflow)
    for row, *cells in zip(table.rows, *(column.cells for column in kept), strict=True):
        fitted.add_row(*cells, style=row.style)
    fitted.caption, fitted.caption_justify = table.caption, table.caption_justify
    return fitted


def _head(board: Board, view: View) -> RenderableType:
    status, clients = board.status, board.clients
    first = Text()
    first.append("AiDb ", style="bold")
    first.append(f"cluster {status.cluster_uid[:8]}  coordinator {status.address}  ")
    first.append(f"term {status.term}  topology {status.topology_version}  ")
    first.append(f"durability {mode_name(status.durability)}  ")
    first.append(time.strftime("%H:%M:%S"), style="dim")
    running = sum(row.status.state == cluster.SHARD_RUNNING for row in board.shards)
    every = [*board.routers, *(member for row in board.shards for member in row.members)]
    failed = len(board.unhealthy)
    second = Text()
    all_run = running == len(board.shards)
    second.append(
        f"{running} of {len(board.shards)} shards running", style="green" if all_run else "bold red"
    )
    second.append("  ")
    healthy = f"{len(every) - failed} of {len(every)} members healthy"
    second.append(healthy, style="bold red" if failed else "green")
    second.append(f"  reads {clients.reads:,.0f}/s  writes {clients.writes:,.0f}/s")
    failures = f"  failures {clients.failures:,.1f}/s"
    second.append(failures, style="bold red" if clients.failures else "")
    second.append(f"  hits {_percent(clients.hit_ratio)}")
    lines: list[RenderableType] = [first, second]
    if view.problem:
        lines.append(Text(f"{view.problem} (shown: {view.age:.0f} s ago)", style="bold red"))
    elif view.paused:
        lines.append(Text("paused", style="bold yellow"))
    return Group(*lines)


def _shards(board: Board, view: View) -> Table:
    table = _table("SHARD", "STATE", "SLOTS", "KEYS", "BYTES", *_FIGURES, "REPLICAS", "BACKUP")
    table.add_column("REASON", overflow="ellipsis", no_wrap=True)
    for index, row in enumerate(board.shards):
        status, rates = row.status, row.rates
        healthy, replicas = row.replicas
        table.add_row(
            str(status.id),
            _state(cluster.ShardState.Name(status.state), "SHARD_", _SHARD_STYLES.get(status.state, "")),
            f"{status.slots:,}",
            f"{status.keys:,}",
            human_bytes(status.bytes),
            f"{rates.reads:,.0f}",
            f"{rates.writes:,.0f}",
            _seconds(rates.get_seconds),
            _seconds(rates.put_seconds),
            _percent(rates.hit_ratio),
            Text(f"{healthy}/{replicas}", style="" if healthy == replicas else "bold red"),
            _backup(status),
            status.reason,
            style="reverse" if index == view.chosen else "",
        )
    table.caption = f"sorted by {view.sort}"
    table.caption_justify = "left"
    return table


def _backup(status: cluster.ShardStatus) -> Text:
    copy = status.second_copy
    if not status.HasField("second_copy"):
        return Text("-")
    problem = copy.snapshot_error or copy.archive_error or copy.verify_problem or copy.drill_problem
    age = f"{_age(time.time() - copy.snapshot_at_ms / 1000)} ago" if copy.snapshot_at_ms else "none"
    return Text(age, style="bold red" if problem else "")


def _shard_facts(row: ShardRow) -> Text:
    status = row.status
    copy = status.second_copy
    text = Text()
    text.append(f"shard {status.id}  ", style="bold")
    state = cluster.ShardState.Name(status.state).removeprefix("SHARD_").capitalize()
    text.append(state, style=_SHARD_STYLES.get(status.state, ""))
    text.append(f"  epoch {status.epoch}  incarnation {status.incarnation}  slots {status.slots:,}  ")
    text.append(f"keys {status.keys:,}  {human_bytes(status.bytes)}")
    if status.reason:
        text.append(f"  {status.reason}", style="bold red")
    if status.HasField("second_copy"):
        text.append(
            f"\narchive {copy.archive_lag_ms / 1000:.1f} s ({human_bytes(copy.archive_lag_bytes)}) behind"
        )
        text.append(f"  snapshot {copy.snapshot or 'none'}")
        for problem in (copy.archive_error, copy.snapshot_error, copy.verify_problem, copy.drill_problem):
            if problem:
                text.append(f"\n{problem}", style="bold red")
    return text


def _members(rows: list[MemberRow] | tuple[MemberRow, ...]) -> Table:
    table = _table("NAME", "STATE", "ADDRESS", *_FIGURES, "CPU", "STALE")
    table.add_column("REASON", overflow="ellipsis", no_wrap=True)
    for row in rows:
        status, rates = row.status, row.rates
        is_replica = status.member.role == cluster.ROLE_REPLICA
        table.add_row(
            status.member.name,
            _state(cluster.MemberState.Name(status.state), "MEMBER_", _MEMBER_STYLES.get(status.state, "")),
            status.member.address,
            "-" if rates is None else f"{rates.reads:,.0f}",
            "-" if rates is None else f"{rates.writes:,.0f}",
            _seconds(rates.get_seconds if rates else None),
            _seconds(rates.put_seconds if rates else None),
            _percent(rates.hit_ratio if rates else None),
            "-" if rates is None else f"{rates.cpu:.0%}",
            f"{status.staleness_ms} ms" if is_replica and row.healthy else "",
            status.reason,
        )
    return table


def _routers(rows: tuple[MemberRow, ...]) -> Table:
    table = _table("NAME", "STATE", "ADDRESS", "REQUESTS/S", "FAILURES/S", "P99 GET", "P99 PUT", "CPU")
    for row in rows:
        status, rates = row.status, row.rates
        table.add_row(
            status.member.name,
            _state(cluster.MemberState.Name(status.state), "MEMBER_", _MEMBER_STYLES.get(status.state, "")),
            status.member.address,
            "-" if rates is None else f"{rates.requests:,.0f}",
            "-" if rates is None else f"{rates.failures:,.1f}",
            _seconds(rates.get_seconds if rates else None),
            _seconds(rates.put_seconds if rates else None),
            "-" if rates is None else f"{rates.cpu:.0%}",
        )
    return table


def _work(board: Board) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in board.under_way[:_MOST_WORK]:
        bar = ProgressBar(total=1.0, completed=one.part or 0.0, width=24, pulse=False)
        percent = "" if one.part is None else f"{one.part:.0%}"
        table.add_row(one.what, one.step, bar, percent, one.detail, one.reason)
    if (more := len(board.under_way) - _MOST_WORK) > 0:
        table.add_row(f"and {more} more", "", "", "", "", "")
    return table


def _hot_slots(board: Board) -> Table:
    table = _table("HOT SLOT", "SHARD", "READS/S", "WRITES/S", "OF ITS SHARD")
    for hot in board.status.hot_slots[:_MOST_SLOTS]:
        part = f"{hot.part_ppm / 1e6:.0%}" + (", alone" if hot.alone else "")
        table.add_row(str(hot.slot), str(hot.shard), f"{hot.reads:,}", f"{hot.writes:,}", part)
    return table


def _table(*columns: str) -> Table:
    """The first two to the left, figures to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        left = index < 2 or name == "ADDRESS"
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    return table


def _state(name: str, prefix: str, style: str) -> Text:
    return Text(name.removeprefix(prefix).removeprefix("STATE_").capitalize(), style=style)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.0%}"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
