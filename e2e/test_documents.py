"""What the documents tell people to type where pods run: every block that tests/documents cannot run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.harness import documents
from e2e.harness.cluster import Cluster
from e2e.harness.machine import ROOT
from e2e.harness.world import World
from tests.documents.blocks import Block, blocks, pages
from tests.documents.pages import Page
from tests.documents.places import Place

# In its end it takes the operator away, and all definitions: nothing comes after it.
LAST = ROOT / "docs" / "kubernetes" / "install.md"
REAL = {page: real for page in pages() if (real := [block for block in blocks(page) if block.real])}


def test_documents(world: World, tmp_path: Path) -> None:
    _nobody_elses(world)
    cluster = _demo(world)
    failed: list[str] = []
    with _operator_again(world):
        for page in sorted(REAL, key=lambda page: (page == LAST, page)):
            failed += _run(page, world, cluster, tmp_path)
    world.scenario.note(pages=len(REAL), blocks=sum(map(len, REAL.values())), failed=len(failed))
    assert not failed, "\n".join(failed)


def _demo(world: World) -> Cluster:
    """The cluster that pages speak of, made as they say."""
    begun = time.monotonic()
    world.kubectl("apply", "-f", str(ROOT / "manifests" / "aidbcluster.yaml"))
    cluster = Cluster(world.kubectl, "demo")
    cluster.ready()
    world.scenario.note(ready_s=round(time.monotonic() - begun, 1))
    return cluster


def _run(page: Path, world: World, cluster: Cluster, directory: Path) -> Iterator[str]:
    """Blocks that fail; the page's others are run all the same."""

    def place(name: str) -> Place:
        mine = directory / f"{page.stem}-{name.replace(' ', '-')}"
        return documents.outside(world, mine) if name == "pods" else documents.inside(world, cluster, mine)

    running = Page(place)
    try:
        for block in REAL[page]:
            if failure := _failure(running, block):
                yield failure
    finally:
        running.close()


def _failure(page: Page, block: Block) -> str | None:
    begun = time.monotonic()
    try:
        page.run(block)
    except Exception as error:
        return f"{block.place}: {block.text}\n{type(error).__name__}: {error}"
    print(f"e2e   {block.place}: {time.monotonic() - begun:.1f} s", flush=True)
    return None


def _nobody_elses(world: World) -> None:
    """The last page deletes all clusters of all namespaces."""
    found = world.kubectl("get", "aidbclusters", "--all-namespaces", "-o", "jsonpath={..metadata.namespace}")
    if others := {namespace for namespace in found.split() if not namespace.startswith("e2e-")}:
        pytest.skip(f"there are clusters that are nobody's to delete, in {', '.join(sorted(others))}")


@contextmanager
def _operator_again(world: World) -> Iterator[None]:
    """For the scenarios after this one."""
    try:
        yield
    finally:
        world.operator.install()
