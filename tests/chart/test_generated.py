"""What is made from other files is made from them as they are; what is shipped is what Kubernetes takes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.validation import ROOT, documents, problems
from tools import generate_chart

SHIPPED = sorted((ROOT / "manifests").rglob("*.yaml"))
GOLDEN = sorted((ROOT / "tests" / "operator" / "golden").glob("*.yaml"))


def _differs(made: dict[Path, str]) -> list[str]:
    return [str(path) for path, text in made.items() if (ROOT / path).read_text() != text]


def test_what_the_chart_has_from_elsewhere_is_current() -> None:
    assert _differs(generate_chart.files()) == [], "run `make manifests`"
    assert (ROOT / generate_chart.CHART / "files" / "crds").resolve() == ROOT / "crds"


def test_the_manifests_are_the_chart(helm_program: str) -> None:
    assert _differs(generate_chart.manifests()) == [], "run `make manifests`"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_manifests_are_what_kubernetes_takes(path: Path) -> None:
    objects = documents(path.read_text())
    assert objects
    assert problems(objects) == []


def test_the_example_of_the_readme_is_the_one_that_is_shipped() -> None:
    shipped = yaml.safe_load((ROOT / "manifests" / "aidbcluster.yaml").read_text())
    readme = (ROOT / "README.md").read_text()
    shown = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)]
    assert shipped in shown
    notes = (ROOT / "helm" / "aidb" / "templates" / "NOTES.txt").read_text()
    [block] = re.findall(r"<<'EOF'\n(.*?)  EOF", notes, re.DOTALL)
    assert yaml.safe_load(block) == shipped


def test_a_mistake_is_found() -> None:
    [cluster] = documents((ROOT / "manifests" / "aidbcluster.yaml").read_text())
    cluster["spec"]["replica"] = 3
    cluster["spec"]["shard"] = 3
    found = problems(
        [cluster, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"container": []}}]
    )
    assert len(found) >= 3
    assert any("shard" in one for one in found) and any("container" in one for one in found)
    assert problems([{"apiVersion": "v2", "kind": "Thing"}]) != []


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_the_operator_makes_is_what_kubernetes_takes(path: Path) -> None:
    spec, *objects = documents(path.read_text())
    cluster = {
        "apiVersion": "aidb.io/v1alpha1",
        "kind": "AidbCluster",
        "metadata": {"name": "db"},
        "spec": spec,
    }
    assert objects
    # In brackets: what the golden file tells of a plan besides the object.
    made = [{key: value for key, value in one.items() if not key.startswith("(")} for one in objects]
    assert problems([cluster, *made]) == []


def test_the_chart_is_of_this_version() -> None:
    """Its default images are those of the same version."""
    chart = yaml.safe_load((ROOT / generate_chart.CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == chart["version"] == project["version"]
