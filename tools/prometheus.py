"""Prometheus and promtool, for tests of metrics, alerts and dashboards: finds them, or fetches Debian's.

python tools/prometheus.py install   # below target/tools, unless they are there; needs apt-get and dpkg
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "target" / "tools"
NAMES = ("prometheus", "promtool")


class Missing(Exception):
    """It is not on this machine; the text says what to do."""


def find(name: str) -> str:
    """$PROMETHEUS or $PROMTOOL, that of the PATH, or the one fetched here. Raises Missing."""
    for candidate in (os.environ.get(name.upper()), shutil.which(name), str(OWN / name)):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise Missing(f"no {name} on the PATH: `make prometheus` fetches it, or name one in ${name.upper()}")


def install() -> int:
    """0 also where there is no apt-get: the tests that need them say then that they are skipped."""
    try:
        for name in NAMES:
            find(name)
        return 0
    except Missing:
        pass
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        print("no apt-get: Prometheus is not fetched, and tests that need it are skipped", file=sys.stderr)
        return 0
    OWN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for command in (["apt-get", "download", "-q", "prometheus"], ["sh", "-c", "dpkg -x *.deb ."]):
            done = subprocess.run(command, cwd=scratch, check=False)
            if done.returncode != 0:
                return done.returncode
        for name in NAMES:
            shutil.move(Path(scratch) / "usr" / "bin" / name, OWN / name)
    return 0


def main() -> int:
    if sys.argv[1:] == ["install"]:
        return install()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
