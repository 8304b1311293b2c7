"""What e2e/ rests on, without a Kubernetes: its clients' program, their histories and their figures."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

from aidb.slots import SLOT_COUNT, slot_of
from e2e.harness import load
from e2e.load import history_file
from e2e.load.__main__ import spread_keys
from tests.checkers.history import Consistency, Kind, Operation, Outcome

SECOND = 1_000_000_000
HISTORY = [
    Operation(1, b"k", Kind.WRITE, b"\x00\xff", SECOND, 2 * SECOND, version=7),
    Operation(1, b"k", Kind.SWAP, b"w", 3 * SECOND, 6 * SECOND, Outcome.REFUSED, expected=b"v", found=None),
    Operation(2, b"k", Kind.READ, None, SECOND, 2 * SECOND, consistency=Consistency.BOUNDED, bound_ns=5),
    Operation(2, b"k", Kind.READ, b"v", 2 * SECOND, 3 * SECOND, consistency=Consistency.SESSION),
]

# Which of the program's modules do not come out of its archive.
_ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
import e2e.load.__main__
own = [module for name, module in sys.modules.items() if name.split(".")[0] in ("e2e", "tests")]
print([module.__file__ for module in own if module.__file__ and not module.__file__.startswith(sys.argv[1])])
"""


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    history_file.write(tmp_path / "history.gz", HISTORY)
    assert history_file.read((tmp_path / "history.gz").read_bytes()) == HISTORY


def test_a_pause_is_the_time_between_two_answers_of_a_session() -> None:
    assert load.Told(HISTORY).pauses() == {"read": 1.0, "write": 4.0}


def test_keys_are_in_all_parts_of_the_slots() -> None:
    parts = {slot_of(key) * 16 // SLOT_COUNT for key in spread_keys(16, "k")}
    assert parts == set(range(16))


def test_the_program_needs_nothing_of_this_tree_but_what_it_carries(tmp_path: Path) -> None:
    program = tmp_path / "load.pyz"
    program.write_bytes(base64.b64decode(load.program()["binaryData"]["load.pyz"]))
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
