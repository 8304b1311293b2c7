"""`make evidence-quickstart`: a fresh clone, and what README.md tells a newcomer to type first.

The commands are the README's first block, one after the other, in a clone of the committed tree, with nothing
built there. The last one prints what the one before stored. Downloads come from wherever this machine's
pip and cargo have them; `--cold` gives them empty caches.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.documents.blocks import ROOT, blocks
from tests.evidence.report import Report, parser

COMMANDS, ANSWER = 2, "hello"
AIM_SECONDS = 300


def commands() -> list[str]:
    """Of the README's first block, without remarks."""
    lines = blocks(ROOT / "README.md")[0].text.splitlines()
    return [stripped for line in lines if (stripped := line.split("#")[0].strip())]


def environment(cold: Path | None) -> dict[str, str]:
    """This process's, without what would tell the clone about another tree or cluster."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIDB_")
        and name not in ("VIRTUAL_ENV", "CARGO_TARGET_DIR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    kept["AIDB_PORT"] = "0"
    if cold is not None:
        kept |= {"PIP_CACHE_DIR": str(cold / "pip"), "CARGO_HOME": str(cold / "cargo")}
    return kept


def one_round(folder: Path, cold: bool, report: Report) -> None:
    clone = folder / "aidb"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    typed, surroundings = commands(), environment(folder / "caches" if cold else None)
    wrong: list[str] = []
    if len(typed) != COMMANDS:
        wrong.append(f"the README asks for {len(typed)} commands: {typed}")
    began = time.monotonic()
    printed = ""
    try:
        for number, command in enumerate(typed, 1):
            before = time.monotonic()
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=clone,
                env=surroundings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            printed = done.stdout
            seconds = time.monotonic() - before
            print(f"  {seconds:.1f} s: {command}", flush=True)
            report.numbers[f"command_{number}_seconds"] += round(seconds)
            if done.returncode != 0:
                wrong.append(f"{command}: exit code {done.returncode}")
                break
        report.numbers["seconds"] += round(time.monotonic() - began)
        if not wrong and not printed.endswith(ANSWER):
            wrong.append(f"the last command prints {printed!r}")
    finally:
        subprocess.run(["make", "--silent", "down"], cwd=clone, env=surroundings, check=False)
    report.round(f"cores={os.cpu_count()} commands={len(typed)}", wrong)


def main() -> int:
    asking = parser("quickstart")
    asking.add_argument("--cold", action="store_true", help="empty caches of pip and cargo")
    given = asking.parse_args()
    report = Report("quickstart", given.seed)
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory(prefix="aidb-quickstart-") as folder:
            one_round(Path(folder), given.cold, report)
    print(report.last_line(aim_seconds=AIM_SECONDS, cold=given.cold))
    return report.exit_code(given.rounds)


if __name__ == "__main__":
    sys.exit(main())
