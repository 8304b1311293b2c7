"""Helm, for those who work on the chart: finds it, or builds it.

python tools/helm.py install     # builds it below target/tools, unless there is one; needs Go
python tools/helm.py ARGUMENTS   # runs it
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "target" / "tools" / "helm"
SOURCE = "helm.sh/helm/v3/cmd/helm@v3.22.0"
# A Helm that is built from source says that Kubernetes is 1.20.
KUBE_VERSION = "--kube-version=1.34.0"


class Missing(Exception):
    """No Helm on this machine; the text says what to do."""


def find() -> str:
    """$HELM, that of the PATH, that of Go's own folder, or the one built here. Raises Missing."""
    given = os.environ.get("HELM")
    for candidate in (given, shutil.which("helm"), str(Path.home() / "go" / "bin" / "helm"), str(OWN)):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
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


def install() -> int:
    """0 also where there is no Go: the tests of the chart say then that they are skipped."""
    try:
        find()
        return 0
    except Missing:
        pass
    if shutil.which("go") is None:
        print("no Go: Helm is not built, and the tests of the chart are skipped", file=sys.stderr)
        return 0
    OWN.parent.mkdir(parents=True, exist_ok=True)
    command = ["go", "install", "-trimpath", "-ldflags=-s -w", SOURCE]
    environment = {**os.environ, "GOBIN": str(OWN.parent), "CGO_ENABLED": "0"}
    return subprocess.run(command, check=False, env=environment).returncode


def main() -> int:
    if sys.argv[1:] == ["install"]:
        return install()
    try:
        return subprocess.run([find(), *sys.argv[1:]], check=False).returncode
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
