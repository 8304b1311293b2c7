"""Nodes with a defect in what they do of moves, which `evidence-moves` has to find.

The defects are in Python: an overlay of the package has one file changed, and only nodes that are given its
path load it.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.evidence.report import Report

PACKAGE = Path(__file__).parents[2] / "node" / "aidb_node"
ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Mutant:
    """`file` of the package with each text replaced by the other; each is there once."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]


MUTANTS = (
    # M7: what was written just before the fence is lost.
    Mutant(
        "no_drain",
        "moves/importing.py",
        (
            (
                "        self._take(part.record, part.checksum)\n",
                "        part.final_lsn or self._take(part.record, part.checksum)\n",
            ),
        ),
    ),
    # M9: what was moved or given up stays.
    Mutant("no_clean_up", "moves/mover.py", (("self._primary.wipe_slots(occupied)", "pass"),)),
)


def overlay(mutant: Mutant, root: Path) -> Mapping[str, str]:
    """For the environment of nodes. Raises ValueError when the package has another text by now."""
    package = root / mutant.name / "aidb_node"
    changed = package / mutant.file
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for module in PACKAGE.glob("*.so"):
        (package / module.name).symlink_to(module)
    text = changed.read_text()
    for old, new in mutant.changes:
        if text.count(old) != 1:
            raise ValueError(
                f"{mutant.file} has {old!r} {text.count(old)} times: is {mutant.name} still a defect?"
            )
        text = text.replace(old, new)
    changed.write_text(text)
    return {"PYTHONPATH": str(package.parent)}


def rounds_to_catch(seed: int) -> dict[str, object]:
    """For each mutant the round that found it; 0: none did."""
    from tests.evidence import moves

    needed: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="aidb-mutants-") as scratch:
        for mutant in MUTANTS:
            report = Report("moves", seed)
            environment = overlay(mutant, Path(scratch))
            with redirect_stdout(io.StringIO()):
                try:
                    moves.run(ROUNDS, seed, report, environment=environment, until_found=True)
                except AssertionError:  # a move that never ends
                    report.violations += 1
            needed[f"{mutant.name}_caught_in_round"] = report.rounds if report.violations else 0
    return needed
