"""The standing example: this machine's package index into three shards with two replicas each, and back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import Command


def by_package(content: bytes) -> dict[bytes, bytes]:
    """Stanza by package; of several the last one."""
    found = {}
    for stanza in content.split(b"\n\n"):
        if stanza.strip():
            fields = [line for line in stanza.strip(b"\n").split(b"\n") if line.startswith(b"Package:")]
            found[fields[0].removeprefix(b"Package:").strip()] = stanza.strip(b"\n")
    return found


def index() -> bytes:
    return subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True).stdout


@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="this machine has no apt")
def test_the_package_index_goes_in_and_comes_out(nowhere: Command, tmp_path: Path) -> None:
    content = index()
    if content.count(b"\nPackage:") < 1000:
        subprocess.run(["apt-get", "update"], capture_output=True, check=False)
        content = index()
    wanted = by_package(content)
    nowhere("up", "--detach", "--port", 0)
    told = nowhere.document("import", "-", "--format", "deb822", "--key", "Package", content=content)
    assert told["rejected"] == 0 and told["records"] >= len(wanted)
    nowhere("export", tmp_path / "out", "--format", "deb822")
    assert by_package((tmp_path / "out").read_bytes()) == wanted
    status = nowhere.document("status")
    assert [len(shard["replicas"]) for shard in status["shards"]] == [2, 2, 2]
    keys = [shard["keys"] for shard in nowhere.document("status")["shards"]]
    print(f"{len(wanted)} packages, keys of shards {keys}")
    if len(wanted) > 10_000:  # with few keys chance alone spreads them wider
        assert max(keys) <= 1.1 * min(keys)
