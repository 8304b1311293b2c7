"""Prometheus and promtool in tests, which skip where they are missing."""

from __future__ import annotations

import subprocess

import pytest

from tools import prometheus


def tool(name: str) -> str:
    try:
        return prometheus.find(name)
    except prometheus.Missing as missing:
        pytest.skip(str(missing))


def promtool(*arguments: object, content: str = "") -> tuple[int, str]:
    """Its exit code, and all it says."""
    done = subprocess.run(
        [tool("promtool"), *map(str, arguments)],
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout
