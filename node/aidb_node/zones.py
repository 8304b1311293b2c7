"""Which zone a machine is in, from a file with a line `node zone` for each.

A pod can learn the name of its node, but not its node's labels: the operator writes them down.
"""

from __future__ import annotations

from pathlib import Path


def zone_of(file: Path, node: str) -> str:
    """Empty when the file is not there or does not name the node: it is in no zone that anybody knows."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
    for line in text.splitlines():
        name, _, zone = line.strip().partition(" ")
        if name == node:
            return zone.strip()
    return ""
