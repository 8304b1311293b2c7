from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.validation import documents
from tools import helm

CHART = "helm/aidb"
VALUES = sorted(Path(__file__).parent.glob("values/*.yaml"))

Object = dict[str, Any]
Render = Callable[..., list[Object]]


@pytest.fixture(scope="session")
def helm_program() -> str:
    try:
        return helm.find()
    except helm.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def render(helm_program: str) -> Render:
    """The chart's objects, tests included, of ``--set`` values or a file; without the definitions of custom
    resources, which are most of it, where nobody asks for them. They are kept: change none.
    """

    @cache
    def rendered(
        *values: str, file: Path | None = None, release: str = "aidb", crds: bool = False
    ) -> list[Object]:
        less = [] if crds or file else ["crds.install=false"]
        return documents(helm.run(*template(*values, *less, file=file, release=release)).stdout)

    return rendered


@pytest.fixture(scope="session")
def refused(helm_program: str) -> Callable[..., str]:
    """What Helm says about values that it has to refuse."""

    def says(*values: str) -> str:
        with pytest.raises(subprocess.CalledProcessError) as failed:
            helm.run(*template(*values))
        return str(failed.value.stderr)

    return says


def template(*values: str, file: Path | None = None, release: str = "aidb") -> list[str]:
    chosen = [
        f"--set-json={value}" if "=[" in value or "={" in value else f"--set={value}" for value in values
    ]
    files = [] if file is None else [f"--values={file}"]
    return ["template", release, CHART, "--namespace=aidb-system", helm.KUBE_VERSION, *files, *chosen]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def the(objects: list[Object], kind: str) -> Object:
    [found] = of_kind(objects, kind)
    return found
