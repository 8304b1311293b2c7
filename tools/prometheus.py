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
# For one step of fetching them.
_MOST_SECONDS = 120


class Missing(Exception):
    """It is not on this machine; the text says what to do."""


def find(name: str) -> str:
    """$PROMETHEUS or $PROMTOOL, that of the PATH, or the one fetched here. Raises Missing."""
    for candidate in (os.environ.get(name.upper()), shutil.which(name), str(OWN / name)):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise Missing(f"no {name} on the PATH: `make prometheus` fetches it, or name one in ${name.upper()}")


def install() -> int:
    """0 also where they cannot be had: the tests that need them say then that they are skipped."""
    try:
        for name in NAMES:
            find(name)
        return 0
    except Missing:
        pass
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return _cannot("no apt-get")
    try:
        OWN.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=OWN) as scratch:
            if not _download(Path(scratch)):
                return _cannot("apt-get has no package of it")
            for name in NAMES:
                (Path(scratch) / "usr" / "bin" / name).replace(OWN / name)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _cannot(str(error))
    return 0


def _download(scratch: Path) -> bool:
    """Unpacks Debian's package below ``scratch``: by the lists that the machine has, else by new ones."""
    if not _run(scratch, "apt-get", "download", "-q", "prometheus"):
        # Lists of its own: those of the machine are root's, and may be missing in an image.
        (scratch / "lists" / "partial").mkdir(parents=True)
        lists = ("-o", f"Dir::State::Lists={scratch / 'lists'}", "-o", f"Dir::Cache={scratch}")
        if not _run(scratch, "apt-get", *lists, "update", "-q"):
            return False
        if not _run(scratch, "apt-get", *lists, "download", "-q", "prometheus"):
            return False
    return _run(scratch, "sh", "-c", "dpkg -x *.deb .")


def _run(directory: Path, *command: str) -> bool:
    """Raises subprocess.TimeoutExpired."""
    done = subprocess.run(
        command,
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_MOST_SECONDS,
        check=False,
    )
    return done.returncode == 0


def _cannot(why: str) -> int:
    print(f"{why}: Prometheus is not fetched, and tests that need it are skipped", file=sys.stderr)
    return 0


def main() -> int:
    if sys.argv[1:] == ["install"]:
        return install()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
