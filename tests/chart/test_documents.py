"""The pages name what there is: reasons that the operator tells, and files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kubernetes.validation import ROOT

PAGES = sorted((ROOT / "docs" / "kubernetes").glob("*.md"))
REASON = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+|[A-Z][a-z]+)`")
SOURCES = "\n".join(path.read_text() for path in (ROOT / "operator").rglob("*.py"))


def test_reasons_and_conditions_that_are_explained_are_told_by_the_operator() -> None:
    page = (ROOT / "docs" / "kubernetes" / "troubleshooting.md").read_text()
    tables = [line for line in page.splitlines() if line.startswith("|")]
    named = {reason for line in tables for reason in REASON.findall(line)}
    assert len(named) > 30
    values = {"Delete", "True", "False"}
    assert sorted(name for name in named - values if f'"{name}"' not in SOURCES) == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target
