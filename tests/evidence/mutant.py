"""A build of the nodes with deliberate defects, which the coherence run has to catch.

It lies in a directory of its own, `faults` below cargo's, and only programs that are given `environment`
load it: the installed module stays sound.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
FAULTS = ("unguarded-fill", "no-resync")


def build() -> Path:
    """Builds the faulty module beside links to the package's Python; returns what goes on the path."""
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "-p", "aidb-node", "--features", "python,faults"],
        cwd=ROOT,
        check=True,
    )
    built = TARGET / "debug" / "libaidb_node.so"
    if b"AIDB_FAULT" not in built.read_bytes():
        raise RuntimeError(f"{built} has no faults built in: did another build replace it? Run this again")
    overlay = TARGET / "faults"
    package = overlay / "aidb_node"
    shutil.rmtree(overlay, ignore_errors=True)
    package.mkdir(parents=True)
    for source in (ROOT / "node" / "aidb_node").iterdir():
        if source.suffix == ".py" or (source.is_dir() and source.name != "__pycache__"):
            (package / source.name).symlink_to(source)
    shutil.copyfile(built, package / "_native.abi3.so")
    return overlay


def environment(overlay: Path, fault: str) -> Mapping[str, str]:
    """For nodes that are to have ``fault``."""
    return {"PYTHONPATH": str(overlay), "AIDB_FAULT": fault}
