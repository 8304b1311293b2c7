"""The documents are a site: pages are in the navigation, links lead somewhere, nothing is fetched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What a reader's browser would fetch by itself; links that a person follows are no matter.
FETCHED = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc=["']?https?:|<link[^>]*\shref=["']?https?:[^>]*stylesheet"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built strictly: a link to nothing ends it."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", directory],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_every_page_is_built(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        made = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / (made.with_name("index.html") if page.stem == "README" else made)).exists(), page


def test_readers_fetch_nothing_from_elsewhere(site: Path) -> None:
    assert [page for page in site.rglob("*.html") if FETCHED.search(page.read_text())] == []


def test_links_into_the_tree_lead_to_its_files(site: Path) -> None:
    kept = site / "source" / "manifests" / "examples" / "s3.yaml"
    assert kept.read_bytes() == (ROOT / "manifests" / "examples" / "s3.yaml").read_bytes()
