"""Helm, for those who work on the chart: finds it, or builds it.

python -m tools.helm install     # builds it below target/tools, unless there is one; needs Go
python -m tools.helm ARGUMENTS   # runs it
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools import go_program

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "helm.sh/helm/v3/cmd/helm@v3.22.0"
# A Helm that is built from source says that Kubernetes is 1.20.
KUBE_VERSION = "--kube-version=1.34.0"


class Missing(Exception):
    """No Helm on this machine; the text says what to do."""


def find() -> str:
    """$HELM, that of the PATH, that of Go's own folder, or the one built here. Raises Missing."""
    if found := go_program.found("helm"):
        return found
    raise Missing("no helm on the PATH; with Go installed `make helm` builds it, or name one in $HELM")


def run(*arguments: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """``more``: of the environment. Raises Missing, CalledProcessError."""
    return subprocess.run(
        [find(), *arguments],
        check=check,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **more},
        timeout=120,
    )


def main() -> int:
    if sys.argv[1:] == ["install"]:
        return go_program.install("helm", SOURCE, "the tests of the chart are")
    try:
        return subprocess.run([find(), *sys.argv[1:]], check=False).returncode
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
