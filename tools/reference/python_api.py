"""The Python client's names, signatures and docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import aidb
import aidb.aio
from aidb.client import Client
from tools.reference.cells import table

_HEAD = """# Python

Made by `make gen` from the docstrings. `import aidb`; the package has types (`py.typed`).

"""
_SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields")


def page() -> str:
    errors = [name for name in aidb.__all__ if _is_error(getattr(aidb, name))]
    values = [name for name in aidb.__all__ if name not in errors and name not in ("connect", "open")]
    parts = [
        _HEAD,
        _function("connect", aidb.connect),
        _function("open", aidb.open),
        _class("Client", Client, base=aidb.KeyValue),
        *(_value(name, getattr(aidb, name)) for name in values),
        _function("aio.connect", aidb.aio.connect),
        "## Errors\n\n" + table(("class", "of", ""), [_error(name) for name in errors]),
    ]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _value(name: str, value: Any) -> str:
    if isinstance(value, type):
        return _class(name, value)
    if inspect.isfunction(value):
        return _function(name, value)
    said = value if isinstance(value, int | str) else _type(value)
    return f"## aidb.{name}\n\n`{said}`\n"


def _function(name: str, function: Any) -> str:
    return f"## aidb.{name}\n\n{_signature(name.split('.')[-1], function)}\n{_text(function)}"


def _class(name: str, kind: type, base: type | None = None) -> str:
    parts = [f"## aidb.{name}\n", _text(kind)]
    if dataclasses.is_dataclass(kind):
        parts.append(_signature(name, kind))
    for member, documented in _members(kind, base):
        shown = (
            _property(member, documented)
            if isinstance(documented, property)
            else _signature(member, documented)
        )
        parts.append(f"### {name}.{member}\n\n{shown}\n{_text(documented)}")
    return "\n".join(parts)


def _members(kind: type, base: type | None) -> Iterator[tuple[str, Any]]:
    """Public ones with words of their own; of a subclass those that ``base``, shown itself, lacks."""
    for name in dir(kind) if base is None else sorted(set(dir(kind)) - set(dir(base))):
        member = inspect.getattr_static(kind, name)
        shown = isinstance(member, types.FunctionType | property)
        if not name.startswith("_") and shown and member.__doc__:
            yield name, member


def _property(name: str, member: property) -> str:
    returned = _type(inspect.signature(member.fget).return_annotation) if member.fget else ""
    return f"```text\n{name}: {returned}\n```\n"


def _error(name: str) -> tuple[str, ...]:
    kind = getattr(aidb, name)
    words = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    return f"`{name}`", f"`{kind.__bases__[0].__name__}`", " ".join(words.split()).replace("|", "\\|")


def _signature(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    kept = [one for one in signature.parameters.values() if one.name != "self"]
    shown = [_parameter(one) for one in kept]
    star = next((n for n, one in enumerate(kept) if one.kind is inspect.Parameter.KEYWORD_ONLY), None)
    if star is not None and not any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in kept):
        shown.insert(star, "*")
    returned = signature.return_annotation
    arrow = "" if returned in (inspect.Signature.empty, None) else f" -> {_type(returned)}"
    flat = f"{name}({', '.join(shown)}){arrow}"
    if len(flat) > 100:
        flat = f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){arrow}"
    return f"```text\n{flat}\n```\n"


def _parameter(one: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(one.kind, "")
    typed = "" if one.annotation is inspect.Parameter.empty else f": {_type(one.annotation)}"
    default = "" if one.default is inspect.Parameter.empty else f" = {_default(one.default)}"
    return f"{stars}{one.name}{typed}{default}"


def _default(value: object) -> str:
    # A default_factory shows as an object of dataclasses, with an address in some versions.
    return "..." if "<" in repr(value) else repr(value)


def _type(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    if typing.get_origin(annotation) is None and isinstance(annotation, type):
        return annotation.__name__
    return re.sub(r"\b(?:typing|collections\.abc|aidb\.\w+)\.", "", str(annotation))


def _text(documented: Any) -> str:
    """A docstring as Markdown: sections as lists, examples as text."""
    lines: list[str] = []
    section = ""
    for line in inspect.cleandoc(documented.__doc__ or "").splitlines():
        plain = line.replace("``", "`")
        if plain.rstrip(":") in _SECTIONS and plain.endswith(":"):
            section = plain.rstrip(":")
            lines += ["", f"**{section}**", ""]
        elif section and re.match(r" {4}\*{0,2}\w[\w.]*: ", plain):
            name, _, words = plain.strip().partition(": ")
            lines.append(f"- `{name}`: {words}")
        elif section and plain.startswith(" "):
            lines.append(f"  {plain.strip()}" if lines[-1].startswith(("- ", "  ")) else plain.strip())
        else:
            section = section if not plain else ""
            lines.append(plain)
    return _fenced(lines)


def _fenced(lines: list[str]) -> str:
    """What is indented in the words is an example."""
    made: list[str] = []
    inside = False
    for line in lines:
        example = line.startswith("    ")
        if example and not inside:
            made.append("```text")
        if inside and line and not example:
            made.append("```")
        inside = example or (inside and not line)
        made.append(line.removeprefix("    ") if example else line)
    if inside:
        made.append("```")
    return re.sub(r"\n+```\n", "\n```\n\n", re.sub(r"\n{3,}", "\n\n", "\n".join(made))).strip() + "\n"
