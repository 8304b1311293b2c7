"""All error codes: from the client's classes, and the first sentence of each code's page."""

from __future__ import annotations

import re
from pathlib import Path

from aidb.errors import BY_CODE, ErrorCode
from tools.reference.cells import table

ROOT = Path(__file__).resolve().parents[2]
_HEAD = """# Error codes

Made by `make gen`. Every failed call carries its code; each has a page with what happened and what to do
([how codes travel](../errors/README.md)). "Repeat": whether the same request may be sent again as it is; an
error that arrives says so itself, which counts.

"""
_SENTENCE = re.compile(r"\*\*What happened\.\*\*\s+(.*?[.:])(?:\s|$)", re.DOTALL)


def page() -> str:
    rows = []
    for code in ErrorCode:
        if code == ErrorCode.ERROR_UNSPECIFIED:
            continue
        kind = BY_CODE[code]
        said = _SENTENCE.search((ROOT / "docs" / "errors" / f"{code.name}.md").read_text())
        assert said is not None, code
        meaning = " ".join(said[1].split())
        link = f"[{code.name}](../errors/{code.name}.md)"
        rows.append(
            (str(code.value), link, f"`{kind.__name__}`", "yes" if kind.default_retryable else "", meaning)
        )
    return _HEAD + table(("", "code", "in Python", "repeat", "what happened"), rows)
