"""Runs what a page shows."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from opentelemetry import trace

from tests.documents.blocks import CHECKED, REASONS, RUN, SHOWN, Block, matches
from tests.documents.places import KNOWN, Missing, Place
from tests.kubernetes.validation import documents, problems

# First words of what people type: such a line is no picture.
_TYPED = frozenset({"$", "aidb", "aidb-admin", "helm", "kubectl", "make", "pip", "python", "grpcurl", "kind"})


def complaint(block: Block) -> str | None:
    """What is wrong with how the page shows it; None if a rule covers it."""
    if block.not_run:
        reason = block.not_run.split(":")[0]
        return None if reason in REASONS else f"not run: {reason!r} is none of {sorted(REASONS)}"
    if block.language in SHOWN:
        # `make x:` says of which command the rest is.
        lines = [line for line in block.text.splitlines() if line.strip() and not line.endswith(":")]
        typed = {line.split()[0] for line in lines} & _TYPED
        return f"{sorted(typed)} are commands: make it `sh`" if typed else None
    if block.language in RUN:
        if block.needs == "a pod" and block.language != "python":
            return "only Python is run in a pod"
        return None if block.needs in KNOWN else f"needs {block.needs!r}, which is none of {KNOWN}"
    if block.language in CHECKED:
        return None
    return f"language {block.language!r} is none of {sorted(RUN | CHECKED | SHOWN)}"


def check(block: Block) -> None:
    """Data: it is what it says. Raises ValueError, AssertionError, yaml.YAMLError."""
    if block.language == "json":
        json.loads(block.text)
        return
    found = documents(block.text)
    assert found, "nothing is in it"
    # Parts of an object, and other programs' files, are read only.
    wrong = problems(one for one in found if "apiVersion" in one and "kind" in one)
    assert not wrong, "; ".join(wrong)


@dataclass
class Page:
    """Its blocks, one after the other. ``of`` gives a place by name; `nothing` is made once for the page."""

    of: Callable[[str], Place]

    def __post_init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._tracing: Any = None

    def run(self, block: Block) -> None:
        """Raises Missing, AssertionError, or what a Python block raises."""
        place = self.place(block.needs)
        for program in block.programs:
            if not place.has(program):
                raise Missing(f"there is no {program} on this machine")
        if block.setup:
            place.run(block.setup)
        printed = (
            place.run(block.text)
            if block.language == "sh"
            else self._python(place, place.localized(block.text), block.place)
        )
        if block.output is not None:
            assert matches(block.output, printed), f"it prints:\n{printed}"

    def place(self, name: str) -> Place:
        if name not in self._places:
            self._places[name] = self.of(name)
        return self._places[name]

    def close(self) -> None:
        """What Python blocks left open, and places of this page alone."""
        for value in self._names.values():
            if callable(end := getattr(value, "close", None)) and not isinstance(value, type):
                end()
        for name, place in self._places.items():
            if name not in ("local", "secure"):
                place.close()

    def _python(self, place: Place, text: str, name: str) -> str:
        if place.python is not None:
            return place.python(text)
        printed = io.StringIO()
        code = compile(ast.parse(text, name), name, "exec")
        with _inside(place), self._own_tracing(), contextlib.redirect_stdout(printed):
            exec(code, self._names)  # noqa: S102 - that is what the page is for
        return printed.getvalue()

    @contextlib.contextmanager
    def _own_tracing(self) -> Iterator[None]:
        """What a page tells OpenTelemetry counts for the page: a process can be told once, and for good."""

        def told(provider: Any) -> None:
            self._tracing = provider

        before = trace.get_tracer_provider
        with (
            mock.patch.object(trace, "set_tracer_provider", told),
            mock.patch.object(trace, "get_tracer_provider", lambda: self._tracing or before()),
        ):
            yield


@contextlib.contextmanager
def _inside(place: Place) -> Iterator[None]:
    """The process in that place."""
    kept, before = dict(os.environ), Path.cwd()
    os.environ.update(place.environment)
    os.chdir(place.directory)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(kept)
