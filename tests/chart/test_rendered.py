"""What the chart makes of values."""

from __future__ import annotations

from pathlib import Path

import pytest
from aidb_operator.permissions import document

from tests.chart.conftest import VALUES, Object, Render, of_kind, the
from tests.kubernetes.validation import problems
from tools import helm

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize("file", VALUES, ids=lambda path: path.stem)
def test_lint_finds_nothing(helm_program: str, file: Path) -> None:
    helm.run("lint", "--strict", "helm/aidb", f"--values={file}", helm.KUBE_VERSION)


@pytest.mark.parametrize("file", VALUES, ids=lambda path: path.stem)
def test_everything_is_what_kubernetes_takes(render: Render, file: Path) -> None:
    objects = render(file=file)
    assert problems(objects) == []
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("file", VALUES, ids=lambda path: path.stem)
def test_everything_is_labelled_as_of_the_release(render: Render, file: Path) -> None:
    for one in render(file=file):
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "aidb", one["metadata"]["name"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["helm.sh/chart"].startswith("aidb-")


@pytest.mark.parametrize("file", VALUES, ids=lambda path: path.stem)
def test_pods_satisfy_the_restricted_standard_and_change_no_file(render: Render, file: Path) -> None:
    objects = render(file=file)
    specs = [one["spec"] for one in of_kind(objects, "Pod")]
    specs.append(the(objects, "Deployment")["spec"]["template"]["spec"])
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.get("hostNetwork") and not spec.get("hostPID")
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]


def test_there_is_never_a_second_operator(render: Render) -> None:
    spec = the(render(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_operator_is_told_what_the_values_say(render: Render) -> None:
    def arguments(*values: str) -> list[str]:
        [container] = the(render(*values), "Deployment")["spec"]["template"]["spec"]["containers"]
        return [str(one) for one in container["args"]]

    assert arguments() == [
        "--image=localhost/aidb-node:0.1.0",
        "--listen=0.0.0.0:8080",
        "--log-level=info",
        "--log-format=text",
    ]
    told = arguments(
        'watchNamespaces=["a","b"]',
        f"nodeImage.digest={DIGEST}",
        "logLevel=debug",
        "logFormat=json",
        'extraArgs=["--threads=2"]',
    )
    assert told == [
        f"--image=localhost/aidb-node@{DIGEST}",
        "--listen=0.0.0.0:8080",
        "--log-level=debug",
        "--log-format=json",
        "--namespaces=a,b",
        "--threads=2",
    ]


def test_the_program_takes_these_arguments(render: Render) -> None:
    """`aidb-operator` itself parses what the chart starts it with."""
    from aidb_operator.__main__ import _parser

    [container] = the(render('watchNamespaces=["a","b"]'), "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    options = _parser().parse_args(container["args"])
    assert options.image == "localhost/aidb-node:0.1.0" and tuple(options.namespaces) == ("a", "b")


def test_a_digest_goes_before_a_tag(render: Render) -> None:
    objects = render(f"image.digest={DIGEST}", "image.tag=v9")
    [container] = the(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"localhost/aidb-operator@{DIGEST}"


def test_selectors_choose_the_pod_whatever_labels_are_added(render: Render) -> None:
    objects = render("commonLabels.app=x", "podLabels.color=blue", "networkPolicy.enabled=true")
    template = the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert template["app"] == "x" and template["color"] == "blue"
    selectors = [
        the(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        the(objects, "Service")["spec"]["selector"],
        the(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert "app" not in selector and "color" not in selector
        assert selector.items() <= template.items()


def test_definitions_stay_when_the_chart_goes_unless_told(render: Render) -> None:
    kept = of_kind(render(crds=True), "CustomResourceDefinition")
    assert len(kept) == 5
    assert all(one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for one in kept)
    gone = of_kind(render("crds.keep=false", crds=True), "CustomResourceDefinition")
    assert len(gone) == 5
    assert all("helm.sh/resource-policy" not in one["metadata"].get("annotations", {}) for one in gone)
    assert of_kind(render("crds.install=false"), "CustomResourceDefinition") == []


def test_rights_are_those_that_the_operator_needs_and_where_it_needs_them(render: Render) -> None:
    needed = document()
    everywhere = render("rbac.aggregate=false")
    [role] = of_kind(everywhere, "ClusterRole")
    assert role["rules"] == needed["clusterWide"] + needed["namespaced"]
    assert of_kind(everywhere, "Role") == []

    some = render('watchNamespaces=["a","b"]', "rbac.aggregate=false")
    [role] = of_kind(some, "ClusterRole")
    assert role["rules"] == needed["clusterWide"]
    roles = {one["metadata"]["namespace"]: one["rules"] for one in of_kind(some, "Role")}
    assert roles == {"a": needed["namespaced"], "b": needed["namespaced"]}
    for binding in [*of_kind(some, "RoleBinding"), *of_kind(some, "ClusterRoleBinding")]:
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "aidb-operator", "namespace": "aidb-system"}
        ]
    assert {one["metadata"]["namespace"] for one in of_kind(some, "RoleBinding")} == {"a", "b"}


def test_people_who_may_edit_may_not_edit_what_the_operator_makes(render: Render) -> None:
    roles = {one["metadata"]["name"].rpartition(":")[2]: one for one in of_kind(render(), "ClusterRole")}
    assert roles["view"]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    edit = roles["edit"]
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    written = {resource for rule in edit["rules"] for resource in rule["resources"]}
    assert "shardgroups" not in written and "shardgroups/scale" in written


def test_what_is_off_by_default_makes_nothing(render: Render) -> None:
    kinds = {one["kind"] for one in render()}
    assert kinds.isdisjoint({"NetworkPolicy", "PodDisruptionBudget", "ServiceMonitor", "PrometheusRule"})
    pods = [one["metadata"]["name"] for one in of_kind(render(), "Pod")]
    assert pods == ["aidb-operator-test"]


def test_the_test_of_a_cluster_runs_where_its_secret_is(render: Render) -> None:
    [_, pod] = sorted(
        of_kind(render("tests.cluster.name=demo", "tests.cluster.namespace=shop"), "Pod"),
        key=lambda one: one["metadata"]["name"] == "demo-test",
    )
    assert pod["metadata"]["namespace"] == "shop"
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    [tls] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "tls"]
    assert tls["secret"]["secretName"] == "demo-client-tls"
    environment = {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}
    assert environment["AIDB_ADDRESS"] == "demo.shop.svc:7400"


@pytest.mark.parametrize(
    ("release", "name"),
    [("aidb", "aidb-operator"), ("my-operator", "my-operator"), ("x" * 53, "x" * 53 + "-operator")],
)
def test_names_follow_the_release_and_fit(render: Render, release: str, name: str) -> None:
    found: Object = the(render(release=release), "Deployment")
    assert found["metadata"]["name"] == name and len(name) <= 63
