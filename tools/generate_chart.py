"""Writes what the chart has from elsewhere, and what is made from the chart. `--check`: only compares.

| made | from |
|---|---|
| helm/aidb/files/rules.yaml | operator/aidb_operator/permissions.py |
| docs/kubernetes/values.md | the comments in helm/aidb/values.yaml |
| manifests/operator.yaml | the chart, rendered, if there is Helm |

The definitions of custom resources and the alerts are no copies: helm/aidb/files/crds leads to crds/,
alerts.yaml to monitoring/alerts/aidb.yaml.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from aidb_operator.permissions import document

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import helm

ROOT = Path(__file__).resolve().parents[1]
CHART = Path("helm") / "aidb"
NAMESPACE = "aidb-system"
RELEASE = "aidb"
HEADER = "# Made by tools/generate_chart.py: `make manifests`.\n"
_COMMENT = re.compile(r"^ *# ([A-Za-z][\w.]*) -- (.*)$")
_MORE = re.compile(r"^ *# (.*)$")


class Dumper(yaml.SafeDumper):
    """No anchors, and lists indented as people write them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def dump(value: Any) -> str:
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)


def files() -> dict[Path, str]:
    """By path below the root; those that need Helm are not among them."""
    return {
        CHART / "files" / "rules.yaml": HEADER + dump(document()),
        Path("docs") / "kubernetes" / "values.md": values_page(),
    }


def values_page() -> str:
    """The values as a table."""
    defaults = yaml.safe_load((ROOT / CHART / "values.yaml").read_text())
    rows = [f"| `{name}` | {_shown(_at(defaults, name))} | {_sentence(text)} |" for name, text in comments()]
    return (
        "# Values of the chart\n\nMade from `helm/aidb/values.yaml` by `make manifests`. "
        "`helm/aidb/values.schema.json` refuses unknown names and wrong kinds of values.\n\n"
        "| value | default | |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _shown(default: Any) -> str:
    """A default in a table; nothing for a group, whose members follow."""
    if default == "" or isinstance(default, dict) and default:
        return ""
    return f"`{json.dumps(default)}`"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def comments() -> Iterator[tuple[str, str]]:
    """Each value that is documented in values.yaml, with what is said of it."""
    name, text = "", ""
    for line in (ROOT / CHART / "values.yaml").read_text().splitlines():
        if found := _COMMENT.match(line):
            name, text = found[1], found[2]
        elif name and (more := _MORE.match(line)):
            text += " " + more[1]
        elif name:
            yield name, text
            name = ""


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values[part]
    return values


def manifests() -> dict[Path, str]:
    """Raises helm.Missing, CalledProcessError."""
    options = [f"--namespace={NAMESPACE}", "--no-hooks", "--set=crds.install=false", helm.KUBE_VERSION]
    rendered = helm.run("template", RELEASE, str(CHART), *options).stdout
    objects = [_plain(one) for one in yaml.load_all(rendered, yaml.CSafeLoader) if one]
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    return {Path("manifests") / "operator.yaml": _stream([namespace, *objects])}


def _plain(raw: dict[str, Any]) -> dict[str, Any]:
    """Without what only Helm reads."""
    metadata = raw["metadata"]
    for kind in ("labels", "annotations"):
        kept = {
            key: value
            for key, value in metadata.get(kind, {}).items()
            if not key.startswith("helm.sh/") and key != "app.kubernetes.io/managed-by"
        }
        metadata.pop(kind, None)
        if kept:
            metadata[kind] = kept
    return raw


def _stream(objects: list[dict[str, Any]]) -> str:
    return HEADER + "---\n".join(dump(one) for one in objects)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args().check
    wrong = _write(files(), check)
    try:
        wrong += _write(manifests(), check)
    except helm.Missing as missing:
        print(f"manifests/ is left alone: {missing}", file=sys.stderr)
    print(*(wrong or ["up to date"]), sep="\n")
    return 1 if check and wrong else 0


def _write(made: dict[Path, str], check: bool) -> list[str]:
    wrong = []
    for path, text in made.items():
        where = ROOT / path
        if where.exists() and where.read_text() == text:
            continue
        wrong.append(str(path))
        if not check:
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(text)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
