"""The API server of the tests does what tests rely on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from kubernetes import client

from tests.kubernetes import apiserver as programs
from tests.kubernetes.apiserver import ApiServer

# The first test of a run waits for the server, which on a busy machine takes its time.
pytestmark = pytest.mark.timeout(600)


def test_an_account_may_do_what_its_role_says_and_no_more(apiserver: ApiServer, namespace: str) -> None:
    apiserver.kubectl("-n", namespace, "create", "serviceaccount", "reader")
    apiserver.kubectl("-n", namespace, "create", "role", "reader", "--verb=get,list", "--resource=pods")
    apiserver.kubectl(
        "-n", namespace, "create", "rolebinding", "reader", "--role=reader",
        f"--serviceaccount={namespace}:reader",
    )  # fmt: skip
    with apiserver.client(apiserver.account_kubeconfig(namespace, "reader")) as connection:
        core = client.CoreV1Api(connection)
        assert core.list_namespaced_pod(namespace).items == []
        with pytest.raises(client.ApiException) as refused:
            core.list_namespaced_config_map(namespace)
    assert refused.value.status == 403


def test_a_pod_is_kept_and_nobody_runs_it(apiserver: ApiServer, namespace: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one"},
        "spec": {"containers": [{"name": "one", "image": "none"}]},
    }
    with apiserver.client() as connection:
        core = client.CoreV1Api(connection)
        core.create_namespaced_pod(namespace, pod)
        assert core.read_namespaced_pod("one", namespace).status.phase == "Pending"


def test_kubectl_says_what_it_could_not_do(apiserver: ApiServer, namespace: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        apiserver.kubectl("-n", namespace, "get", "pod", "nobody")
    assert "not found" in failed.value.stderr


def test_a_machine_without_it_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBE_HOME", str(tmp_path))
    monkeypatch.delenv("AIDB_KUBE_APISERVER_ASSETS", raising=False)
    with pytest.raises(programs.Missing, match="KUBE_HOME"):
        programs.programs()
    monkeypatch.setenv("AIDB_KUBE_APISERVER_ASSETS", str(tmp_path))
    with pytest.raises(programs.Missing, match="holds no program etcd"):
        programs.programs()
