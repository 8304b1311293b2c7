"""The fenced blocks of a page, and what the page says about running them.

A comment before a block says what it needs, or why it is not run:

    <!-- needs: local -->                    from here on: a place of places.py
    <!-- with: grpcurl -->                   the next block: programs that have to be there
    <!-- setup: aidb put a b -->             the next block: typed before it, and not shown
    <!-- not run: long: half an hour -->     the next block: a reason of REASONS, and words
    <!-- output -->                          the next block is what the one before prints; `...` is anything
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = frozenset({"sh", "python"})
CHECKED = frozenset({"yaml", "json"})
SHOWN = frozenset({"text"})
# Places of a real Kubernetes: those blocks are run by e2e/test_documents.py, and not by tests/documents.
REAL = frozenset({"pods", "a pod"})
REASONS = {
    "fresh clone": "`make evidence-quickstart` runs it",
    "long": "minutes of benchmarks; each is a make target",
    "foreign": "another project's program, or machines that are not here",
}
_MARK = re.compile(r"\s*<!--\s*(needs|with|setup|not run|output)\s*(?::\s*(.*?))?\s*-->\s*$")
_FENCE = re.compile(r"(\s*)(`{3,})\s*(\S*)\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """``line`` is where its fence is. ``output``: what it has to print, if the page shows that."""

    page: Path
    line: int
    language: str
    text: str
    needs: str = ""
    programs: tuple[str, ...] = ()
    not_run: str = ""
    setup: str = ""
    output: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language in RUN and not self.not_run

    @property
    def real(self) -> bool:
        """Run on a real Kubernetes."""
        return self.runs and self.needs in REAL


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Raises ValueError for a fence that does not end."""
    return parsed(page, page.read_text())


def parsed(page: Path, text: str) -> list[Block]:
    found: list[Block] = []
    needs = ""
    once: dict[str, str] = {}
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if mark := _MARK.match(line):
            if mark[1] == "needs":
                needs = mark[2] or ""
            else:
                once[mark[1]] = mark[2] or ""
        elif fence := _FENCE.match(line):
            inside = _inside(lines, fence[1], fence[2], f"{page}:{number}")
            if "output" in once and found:
                found[-1] = replace(found[-1], output=inside)
            programs = tuple(once.get("with", "").split())
            found.append(
                Block(
                    page,
                    number,
                    fence[3],
                    inside,
                    needs,
                    programs,
                    once.get("not run", ""),
                    once.get("setup", ""),
                )
            )
            once = {}
        elif line.strip():
            once = {}
    return found


def _inside(lines: Iterator[tuple[int, str]], indent: str, ticks: str, place: str) -> str:
    inside: list[str] = []
    for _, line in lines:
        if line.strip() == ticks:
            return "".join(f"{one.removeprefix(indent)}\n" for one in inside)
        inside.append(line)
    raise ValueError(f"{place}: the block does not end")


def matches(shown: str, printed: str) -> bool:
    """Whether that is what was printed: `...` stands for anything, blanks at ends of lines do not count."""
    pattern = r".*?".join(re.escape(part) for part in _stripped(shown).split("..."))
    return re.fullmatch(pattern, _stripped(printed), re.DOTALL) is not None


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
