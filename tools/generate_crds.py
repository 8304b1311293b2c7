"""Writes what is made from the typed API: crds/*.yaml and docs/reference/crds.md. `--check`: only compares.

Its only input is operator/aidb_operator/api; a test runs the check.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from aidb_operator.api.crd import crd
from aidb_operator.api.kinds import GROUP, KINDS, VERSION, Kind

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Made by tools/generate_crds.py from operator/aidb_operator/api: `make gen`.\n"


class _Plain(yaml.SafeDumper):
    """No anchors: each part is read where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def files() -> dict[Path, str]:
    """By path below the root."""
    made = {Path("crds") / f"{GROUP}_{kind.plural}.yaml": _yaml(kind) for kind in KINDS}
    made[Path("docs") / "reference" / "crds.md"] = reference()
    return made


def _yaml(kind: Kind) -> str:
    return HEADER + yaml.dump(crd(kind), Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)


def reference() -> str:
    """All fields of all kinds, as a page."""
    parts = [
        "# Custom resources\n",
        "Made by `make gen` from `operator/aidb_operator/api`; `kubectl explain` says the same.\n"
        f"All kinds are `{GROUP}/{VERSION}` and belong to a namespace.\n",
    ]
    for kind in KINDS:
        definition = crd(kind)
        [version] = definition["spec"]["versions"]
        root = version["schema"]["openAPIV3Schema"]
        columns = ", ".join(f"{column.name}{'*' if column.wide else ''}" for column in kind.columns)
        parts.append(f"## {kind.name}\n")
        parts.append(f"{root.get('description', '')}\n")
        parts.append(
            f"`kubectl get {kind.short[0]}` (or `{kind.plural}`) shows {columns} (*: with `-o wide`).\n"
        )
        rules = [f"metadata.name has at most {kind.resource.name_most} characters", *_rules(root)]
        parts.append("".join(f"- {_ended(rule)}\n" for rule in rules))
        for section in ("spec", "status"):
            parts.append(f"### {kind.name}.{section}\n")
            parts.append("| field | type | default | |\n|---|---|---|---|\n" + _rows(root, section))
    return "\n".join(parts)


def _rows(root: dict[str, Any], section: str) -> str:
    rows: list[str] = []
    _add(rows, root["properties"][section], "")
    return "".join(rows)


def _add(rows: list[str], node: dict[str, Any], path: str) -> None:
    required = set(node.get("required", ()))
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        default = child.get("default")
        said = (
            "**required**"
            if name in required
            else ""
            if default is None or isinstance(default, dict)
            else f"`{_short(default)}`"
        )
        text = _cell(child)
        if name in ("affinity", "topologySpreadConstraints", "tolerations"):
            rows.append(f"| `{here}` | {_type(child)} | {said} | {text} As in a pod's spec. |\n")
            continue
        rows.append(f"| `{here}` | {_type(child)} | {said} | {text} |\n")
        inner = child.get("items", child)
        if inner.get("properties"):
            suffix = "[]" if "items" in child else ""
            _add(rows, inner, here + suffix)


def _cell(node: dict[str, Any]) -> str:
    text = node.get("description", "")
    limits = _limits(node)
    return " ".join(
        [text, *([limits] if limits else []), *(f"*{_ended(rule)}*" for rule in _rules(node))]
    ).replace("|", "\\|")


def _ended(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _rules(node: dict[str, Any]) -> list[str]:
    return [rule["message"] for rule in node.get("x-kubernetes-validations", ())]


def _limits(node: dict[str, Any]) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    if least is not None and most is not None:
        return f"{least} to {most}{' exclusive' if node.get('exclusiveMaximum') else ''}."
    if least is not None:
        return f"At least {least}."
    return ""


def _type(node: dict[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    if node.get("type") == "object" and "additionalProperties" in node:
        return f"map to {_type(node['additionalProperties'])}"
    return str(node.get("format") or node.get("type", ""))


def _short(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args().check
    wrong = []
    for path, text in files().items():
        where = ROOT / path
        if where.exists() and where.read_text() == text:
            continue
        wrong.append(str(path))
        if not check:
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(text)
    print(*(wrong or ["up to date"]), sep="\n")
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
