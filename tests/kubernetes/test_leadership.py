"""Several coordinators of one cluster against a real API server."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from aidb.local import incarnations
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc
from tests.coordinator.process import until
from tests.kubernetes.apiserver import ApiServer
from tests.kubernetes.coordinators import PATIENT, Coordinator

pytestmark = pytest.mark.timeout(600)
Begin = Callable[..., Coordinator]


@pytest.fixture
def begin(apiserver: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Begin]:
    """Starts one of a name, with more options; all of them are ended."""
    with contextlib.ExitStack() as stack:

        def begun(name: str, *more: str) -> Coordinator:
            started = Coordinator(apiserver, namespace, name, tmp_path, *more)
            stack.callback(started.kill)
            return started

        yield begun


def document(apiserver: ApiServer, namespace: str, kind: str = "topology") -> bytes:
    found: dict[str, Any] = apiserver.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/c-{kind}")
    return base64.b64decode(found["binaryData"]["document"])


def term_of(apiserver: ApiServer, namespace: str) -> int:
    return int(json.loads(document(apiserver, namespace))["topology"]["term"])


def lease(apiserver: ApiServer, namespace: str) -> dict[str, Any]:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/c-coordinator"
    found: dict[str, Any] = apiserver.request("GET", path)
    return found


def test_one_leads_and_the_next_goes_on_at_once_when_it_stops(
    apiserver: ApiServer, namespace: str, begin: Begin
) -> None:
    first = begin("c-0", "--shards", "2", "--cluster-uid", "uid-1", *PATIENT)
    until(lambda: first.addresses, 120)
    assert lease(apiserver, namespace)["spec"]["holderIdentity"] == "c-0"
    assert set(incarnations.parse(document(apiserver, namespace))) == {0, 1}
    until(lambda: first.labelled, 60)
    second = begin("c-1", "--cluster-uid", "uid-1", *PATIENT)
    until(lambda: "standing by" in second.log.read_text(), 120)
    before = first.topology()
    assert not second.addresses
    assert first.stop() == 0
    until(lambda: second.addresses, 120)
    after = second.topology()
    assert (after.cluster_uid, after.term, len(after.shards)) == ("uid-1", before.term + 1, 2)
    until(lambda: second.labelled and not first.labelled, 60)
    assert lease(apiserver, namespace)["spec"]["leaseTransitions"] == 1
    assert second.stop() == 0
    assert lease(apiserver, namespace)["spec"].get("holderIdentity", "") == ""


def test_a_leader_that_stood_still_decides_nothing_more(
    apiserver: ApiServer, namespace: str, begin: Begin
) -> None:
    first = begin("c-0")
    until(lambda: first.addresses, 120)
    second = begin("c-1")
    until(lambda: "standing by" in second.log.read_text(), 120)
    first.signal(signal.SIGSTOP)
    until(lambda: second.addresses, 120)
    term = term_of(apiserver, namespace)
    register = pb.RegisterRequest(
        member=pb.Member(name="router-0", address="127.0.0.1:1", role=pb.ROLE_ROUTER), process_id="p", pid=1
    )
    with grpc.insecure_channel(first.addresses[0]) as channel:
        asked = rpc.CoordinationStub(channel).Register.future(register, timeout=30)
        first.signal(signal.SIGCONT)
        # It may hear the request before it learns that it was replaced: its write does not fit then.
        with pytest.raises(grpc.RpcError):
            asked.result()
    until(lambda: "serves no more" in first.log.read_text(), 120)
    assert b"router-0" not in document(apiserver, namespace)
    second.kill()
    until(lambda: len(first.addresses) > 1, 120)
    assert term_of(apiserver, namespace) > term
    assert b"router-0" not in document(apiserver, namespace)


def test_it_says_what_it_lacks(apiserver: ApiServer, namespace: str, begin: Begin) -> None:
    lost = begin("c-0", "--leader-lease", "1")
    assert lost.process.wait(120) == 2
    assert "--leader-lease 1 is out of range: 5" in lost.log.read_text()
