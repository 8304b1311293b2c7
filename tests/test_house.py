"""The house keeps its shape: layout, generated code, error pages, what must never be committed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from aidb.v1 import common_pb2

ROOT = Path(__file__).resolve().parents[1]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name]


def test_operator_folder_never_shadows_the_standard_library() -> None:
    assert [path for path in tracked() if path.parent == ROOT / "operator" and path.suffix == ".py"] == []
    subprocess.run([sys.executable, "-c", "import collections, operator"], cwd=ROOT, check=True)


def test_generated_code_is_fresh(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "tools/generate_protobuf.py", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "aidb" / "v1").iterdir() if "_pb2" in path.name}
    assert {name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name)} == set(), (
        "run `make gen`"
    )


@pytest.mark.parametrize(
    "code", [code for code in map(str, common_pb2.ErrorCode.keys()) if code != "ERROR_UNSPECIFIED"]
)
def test_every_error_code_has_its_page(code: str) -> None:
    page = (ROOT / "docs" / "errors" / f"{code}.md").read_text()
    assert page.startswith(f"# {code}\n")
    for part in ("**What happened.**", "**What to do.**", "**Retry.**"):
        assert part in page


def test_no_page_without_a_code() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "errors").glob("*.md")} - {"README"}
    assert pages <= set(common_pb2.ErrorCode.keys())


LOCKED_APART = [path for path in tracked() if path.name == "Cargo.lock" and path.parent != ROOT]


@pytest.mark.parametrize("lock", LOCKED_APART, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_locks_of_benchmarks_and_fuzzing_know_what_our_crates_need(lock: Path) -> None:
    """They are workspaces of their own: nothing that is built every day would notice."""
    locked = {package["name"]: package for package in tomllib.loads(lock.read_text())["package"]}
    manifests = [tomllib.loads(path.read_text()) for path in tracked() if path.name == "Cargo.toml"]
    for manifest in manifests:
        name = manifest.get("package", {}).get("name")
        if name not in locked:
            continue
        tables = [manifest.get("dependencies", {}), manifest.get("build-dependencies", {})]
        needed = {
            used if isinstance(wanted, str) else wanted.get("package", used)
            for table in tables
            for used, wanted in table.items()
            if isinstance(wanted, str) or not wanted.get("optional")
        }
        held = {dependency.split()[0] for dependency in locked[name].get("dependencies", [])}
        assert needed <= held, f"cargo update --workspace --manifest-path {lock.with_name('Cargo.toml')}"


def test_versions_agree() -> None:
    versions = {
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        tomllib.loads((ROOT / "node" / "pyproject.toml").read_text())["project"]["version"],
        tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"],
    }
    assert len(versions) == 1


def test_nothing_of_one_machine_is_committed() -> None:
    """Registry hosts (Cargo.lock names the public index, and may) and paths of one machine."""
    wrong = re.compile(
        rb"https?://(pypi|files\.pythonhosted|registry\.npmjs|proxy\.golang)|(^|[\s\"'=(])/(work|farm)/"
    )
    found = [
        path.relative_to(ROOT)
        for path in tracked()
        if path.suffix not in {".png"}
        and path != Path(__file__).resolve()
        and path.is_file()
        and wrong.search(path.read_bytes())
    ]
    assert found == []
