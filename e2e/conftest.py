"""What the scenarios share: one Kubernetes, its images, an S3 server and the operator."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import images as building
from e2e.harness import s3 as storing
from e2e.harness.cluster import CREDENTIALS
from e2e.harness.images import Images
from e2e.harness.kubectl import Kubectl, KubectlFailed
from e2e.harness.machine import ROOT, Machine, machine
from e2e.harness.objects import namespace
from e2e.harness.operator import Operator
from e2e.harness.report import Scenario
from e2e.harness.s3 import S3
from e2e.harness.world import World

STATE = ROOT / "target" / "e2e"
PASSED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def kubernetes() -> Machine:
    STATE.mkdir(parents=True, exist_ok=True)
    return machine()


@pytest.fixture(scope="session")
def images(kubernetes: Machine) -> Images:
    return building.present(kubernetes)


@pytest.fixture(scope="session")
def safe_node(kubernetes: Machine) -> str:
    """The node that no test harms: S3 and the clients are there."""
    return kubernetes.nodes()[0]


@pytest.fixture(scope="session")
def s3(kubernetes: Machine, images: Images, safe_node: str) -> S3:
    image, archive = kubernetes.s3_image(STATE)
    if archive is not None:
        kubernetes.load(archive)
    return storing.start(kubernetes, image, images.node, safe_node)


@pytest.fixture(scope="session")
def operator(kubernetes: Machine, images: Images) -> Operator:
    installed = Operator(kubernetes, images)
    installed.install()
    return installed


@pytest.fixture
def kubectl(request: pytest.FixtureRequest, kubernetes: Machine, s3: S3) -> Iterator[Kubectl]:
    """In a namespace of this test's own, with the credentials of S3; gone afterwards, with its volumes."""
    name = "e2e-" + request.node.name.removeprefix("test_").split("[")[0].replace("_", "-")
    kubernetes.wait_nodes()
    kubernetes.client("default").delete("namespace", name)
    kubernetes.free_volumes()
    kubernetes.client("default").apply(namespace(name))
    client = kubernetes.client(name)
    client.apply(s3.credentials(CREDENTIALS))
    yield client
    if not request.node.stash.get(PASSED, False):
        _keep_evidence(client, STATE / "failed" / request.node.name)
    kubernetes.wait_nodes()
    # Nobody waits for it: the next scenario has other names, and volumes of its own.
    client("delete", "aidbcluster", "--all", "--ignore-not-found", "--wait=false")
    kubernetes.client("default").delete("namespace", name, "--wait=false")


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Iterator[Scenario]:
    running = Scenario(request.node.name.removeprefix("test_").split("[")[0])
    yield running
    running.tell(request.node.stash.get(PASSED, False))


@pytest.fixture
def world(
    kubernetes: Machine,
    images: Images,
    s3: S3,
    operator: Operator,
    kubectl: Kubectl,
    safe_node: str,
    scenario: Scenario,
) -> World:
    return World(kubernetes, images, s3, operator, kubectl, safe_node, scenario)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


def _keep_evidence(client: Kubectl, folder: Path) -> None:
    """Objects, events and logs of a test that failed: its namespace is about to go."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = "aidbclusters,shardgroups,statefulsets,deployments,pods,pvc,pdb,leases,configmaps"
    asked = {
        "objects.yaml": ("get", kinds, "-o", "yaml"),
        "objects.txt": ("get", kinds, "-o", "wide"),
        "events.txt": ("get", "events", "--sort-by=.lastTimestamp"),
    }
    try:
        for pod in client.items("pods"):
            name = pod["metadata"]["name"]
            asked[f"{name}.log"] = ("logs", name, "--all-containers", "--tail=2000")
            asked[f"{name}.previous.log"] = ("logs", name, "--previous", "--tail=2000")
    except (KubectlFailed, subprocess.TimeoutExpired) as error:
        print(f"no list of pods: {error}", file=sys.stderr)
    system = client.within("aidb-system")
    for name, arguments in asked.items():
        _save(client, folder / name, arguments)
    _save(
        system,
        folder / "operator.log",
        ("logs", "--selector=app.kubernetes.io/component=operator", "--tail=5000"),
    )


def _save(client: Kubectl, path: Path, arguments: tuple[str, ...]) -> None:
    try:
        path.write_text(client(*arguments))
    except (KubectlFailed, subprocess.TimeoutExpired) as error:
        if not path.name.endswith(".previous.log"):
            path.write_text(f"{error}\n")
