"""Everything that README.md and docs/ tell people to type is typed here.

A block that no rule covers fails; one that is not run says why, and is listed: `pytest -s` shows the list.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents.blocks import REASONS, ROOT, RUN, Block, blocks, pages
from tests.documents.pages import Page, check, complaint
from tests.documents.places import Missing, Place

ALL = [block for page in pages() for block in blocks(page)]
RUNNING = [page for page in pages() if any(block.runs and not block.real for block in blocks(page))]
DATA = [block for block in ALL if block.language in ("yaml", "json") and not block.not_run]
# Whoever raises it has thought of a way to run it, and found none.
MOST_NOT_RUN = 5


def test_a_rule_covers_every_block() -> None:
    wrong = {block.place: said for block in ALL if (said := complaint(block))}
    assert wrong == {}


def test_few_commands_are_not_run() -> None:
    left = [block for block in ALL if block.language in RUN and block.not_run]
    print("\nnot run:")
    for block in left:
        print(f"  {block.place}: {block.not_run} ({REASONS[block.not_run.split(':')[0]]})")
    print("run on a real Kubernetes, by `make e2e ONLY=documents`:")
    for block in filter(lambda block: block.real, ALL):
        print(f"  {block.place}")
    assert len(left) <= MOST_NOT_RUN


@pytest.mark.parametrize("block", DATA, ids=lambda block: block.place)
def test_data_is_what_it_says(block: Block) -> None:
    check(block)


@pytest.mark.timeout(1200)
def test_kubernetes_takes_the_objects_that_pages_show(place: Callable[[str], Place]) -> None:
    """Beside the schemas there are rules (CEL), which the API server alone knows."""
    own = [block for block in DATA if "apiVersion: aidb.io/" in block.text]
    assert len(own) >= 5
    try:
        api = place("api")
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        (api.directory / "shown.yaml").write_text("---\n".join(block.text for block in own))
        api.run("kubectl apply --dry-run=server -f shown.yaml")
    finally:
        api.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", RUNNING, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_do_what_they_say(page: Path, place: Callable[[str], Place]) -> None:
    running = Page(place)
    try:
        for block in blocks(page):
            if not block.runs or block.real:
                continue
            try:
                running.run(block)
            except Missing as missing:
                print(f"{block.place}: {missing}")
            except Exception as error:
                pytest.fail(f"{block.place}: {block.text}\n{type(error).__name__}: {error}")
    finally:
        running.close()
