"""The harness itself: it sees every fence, and says no."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.documents.blocks import Block, blocks, matches, pages, parsed
from tests.documents.pages import Page, check, complaint
from tests.documents.places import Place

PAGE = Path(__file__).resolve().parents[2] / "docs" / "page.md"
TEXT = """# A page

<!-- needs: local -->
```sh
echo one
```
<!-- output -->
```text
o...
```

<!-- not run: long: minutes -->
```sh
make bench
```

1. in a list:
   ```python
   print(1)
   ```
"""


def block(language: str, text: str = "", needs: str = "", not_run: str = "") -> Block:
    return Block(PAGE, 1, language, text, needs, (), not_run)


def test_blocks_are_found_with_what_is_said_about_them() -> None:
    one, shown, bench, listed = parsed(PAGE, TEXT)
    assert (one.text, one.needs, one.output) == ("echo one\n", "local", "o...\n")
    assert (shown.language, shown.output) == ("text", None)
    assert bench.not_run == "long: minutes" and not bench.runs
    assert (listed.text, listed.needs, listed.not_run) == ("print(1)\n", "local", "")


def test_every_fence_is_seen() -> None:
    for page in pages():
        fences = sum(line.lstrip().startswith("```") for line in page.read_text().splitlines())
        assert fences == 2 * len(blocks(page)), page


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (block(""), "language ''"),
        (block("bash", "ls", "local"), "language 'bash'"),
        (block("sh", "ls"), "needs ''"),
        (block("python", "1", "a moon"), "none of"),
        (block("sh", "ls", "local", "no time"), "not run"),
        (block("text", "aidb put a b"), "are commands"),
        (block("sh", "ls", "a pod"), "only Python"),
    ],
)
def test_what_no_rule_covers_is_told(bad: Block, said: str) -> None:
    assert said in str(complaint(bad))


def test_wrong_data_is_told() -> None:
    kind = "apiVersion: aidb.io/v1alpha1\nkind: AidbCluster\nmetadata: {name: a}\n"
    check(block("yaml", kind + "spec: {shards: 3}\n"))
    with pytest.raises(AssertionError, match="shard"):
        check(block("yaml", kind + "spec: {shard: 3}\n"))
    with pytest.raises(ValueError, match="Expecting"):
        check(block("json", "{a}"))


def test_failing_commands_and_other_output_fail(tmp_path: Path) -> None:
    page = Page(lambda name: Place(tmp_path / name))
    try:
        with pytest.raises(AssertionError, match="exit code 3"):
            page.run(block("sh", "false || exit 3", "nothing"))
        with pytest.raises(AssertionError, match="exit code 1"):
            page.run(block("sh", "false | cat", "nothing"))
        with pytest.raises(ZeroDivisionError):
            page.run(block("python", "1 / 0", "nothing"))
        page.run(block("python", "kept = 1", "nothing"))
        page.run(block("python", "assert kept == 1", "nothing"))
        shown = Block(PAGE, 1, "sh", "echo hello", "nothing", output="bye")
        with pytest.raises(AssertionError, match="it prints"):
            page.run(shown)
    finally:
        page.close()


def test_what_runs_in_the_background_ends_with_the_place(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path / "place")
    place.run("sleep 1000 & echo $! > pid")
    place.run("kill -0 $(cat pid)")
    pid = int((place.directory / "pid").read_text())
    place.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_place_has_something_else_than_pages_say(tmp_path: Path) -> None:
    place = Place(tmp_path / "place", instead={r"(?<=-n )shop\b": "mine"}, python=lambda text: f"ran {text}")
    page = Page(lambda _: place)
    try:
        page.run(Block(PAGE, 1, "sh", "echo -n shop and shop", "pods", output="mine and shop"))
        page.run(Block(PAGE, 1, "python", "print(1)", "a pod", output="ran print(1)"))
    finally:
        page.close()


def test_dots_stand_for_anything() -> None:
    assert matches("a ... c", "a b\nb c  \n")
    assert not matches("a ... c", "a b d")
    assert not matches("a", "a b")
