"""RocksDB's shared library for `make bench-engine`, out of its authors' build for Java, which exports the C
interface as well: compiling its C++ takes half an hour on two cores.

    python tools/prebuilt_rocksdb.py DIRECTORY

leaves DIRECTORY/librocksdb.so, of the version that benchmarks/engine/Cargo.lock names. Needs Maven (`mvn`).
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LOCK = Path(__file__).parent.parent / "benchmarks/engine/Cargo.lock"
_VERSION = re.compile(r'name = "librocksdb-sys"\nversion = "[^+"]+\+([^"]+)"')
_MEMBERS = {"x86_64": "librocksdbjni-linux64.so", "aarch64": "librocksdbjni-linux-aarch64.so"}
_SECONDS = 600


def version(lock: str) -> str:
    """Of the RocksDB that the Rust crate is made for.

    Raises:
        ValueError: the lock file names none.
    """
    found = _VERSION.search(lock)
    if found is None:
        raise ValueError(f"{LOCK} names no librocksdb-sys")
    return found[1]


def fetch(release: str, into: Path) -> Path:
    """The library, from Maven's repository.

    Raises:
        KeyError: there is none for this processor.
        subprocess.CalledProcessError: Maven could not get it.
    """
    member = _MEMBERS[platform.machine()]
    artifact = f"org.rocksdb:rocksdbjni:{release}:jar:linux64"
    with tempfile.TemporaryDirectory() as folder:
        command = ["mvn", "-q", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
        subprocess.run(command, check=True, timeout=_SECONDS)
        [jar] = Path(folder).glob("*.jar")
        into.mkdir(parents=True, exist_ok=True)
        unfinished = into / "librocksdb.so.part"
        with zipfile.ZipFile(jar) as files, files.open(member) as library, unfinished.open("wb") as out:
            shutil.copyfileobj(library, out)
        return unfinished.rename(into / "librocksdb.so")


if __name__ == "__main__":
    print(fetch(version(LOCK.read_text()), Path(sys.argv[1])))
