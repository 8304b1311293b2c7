"""How documents are printed: as JSON or as YAML, with the same content.

Commands know tables and documents. Which of the two encodings a document gets is chosen here, once for the
process, by ``-o`` itself: a command that prints documents prints them in both.

YAML goes by way of JSON, so that it can say nothing that JSON does not: no tags, no anchors, text with any
characters in it. Each document begins with ``---``: several may follow each other, as with ``--watch``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

_AS_YAML = False
# Longer lines are not folded: a line of `grep` is a whole value.
_WIDTH = 1 << 30


def write_as_yaml(wanted: bool) -> None:
    """From now on documents are YAML, or JSON."""
    global _AS_YAML
    _AS_YAML = wanted


def document(value: Any) -> None:
    """One document."""
    if _AS_YAML:
        sys.stdout.write("---\n" + as_yaml(value))
    else:
        print(json.dumps(value, indent=2, ensure_ascii=False))


def compact(value: Any) -> None:
    """One of many documents: a line of JSON, or a document of YAML."""
    if _AS_YAML:
        document(value)
    else:
        print(json.dumps(value, ensure_ascii=False))


def listed(values: Iterable[Any]) -> None:
    """One document, a list, printed while its members come."""
    empty = True
    for value in values:
        if _AS_YAML:
            text = "---\n" * empty + as_yaml([value])
        else:
            text = ("[\n" if empty else ",\n") + json.dumps(value, ensure_ascii=False)
        sys.stdout.write(text)
        empty = False
    if empty:
        document([])
    elif not _AS_YAML:
        print("\n]")


def as_yaml(value: Any) -> str:
    """Without ``---``."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", None)
    # The dumper in Python writes U+0085 as it is, which its reader takes for a line's end.
    plain = json.loads(json.dumps(value))
    dumped: str = yaml.dump(
        plain,
        Dumper=dumper or yaml.SafeDumper,
        sort_keys=False,
        allow_unicode=dumper is not None,
        width=_WIDTH,
    )
    # A scalar alone gets the marker of a document's end.
    return dumped.removesuffix("...\n")
