"""How tests are split between processes."""

from __future__ import annotations

import pytest

from aidb.local import ports
from aidb.local.refusal import Refused
from tests.together import API_SERVER, group, rank, share_of_ports


def test_what_shares_servers_stays_together() -> None:
    assert (
        group("tests/operator/test_kubectl.py::a")
        == group("tests/kubernetes/test_api.py::b[x::y]")
        == API_SERVER
    )
    assert group("tests/abuse/test_floods.py::a") == group("tests/abuse/test_readers.py::b")
    assert group("tests/node/test_router.py::a") == group("tests/node/test_router.py::b")
    assert group("tests/node/test_router.py::a") != group("tests/node/test_cache.py::a")
    short = "tests/evidence/test_short.py"
    assert group(f"{short}::a") != group(f"{short}::b")
    assert rank(f"{short}::a") < rank("tests/cli/test_up.py::a") < rank("tests/node/test_router.py::a")


def test_no_two_processes_choose_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("AIDB_FREE_PORTS", share_of_ports(worker, 3))
        chosen.append(ports.free_range())
        assert set(ports.free_ports(20)) <= set(chosen[-1])
    assert sum(map(len, chosen)) == len(set().union(*chosen)) > 0.99 * len(ports.FREE_RANGE)


def test_ports_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("nonsense", "20000", "20010-20000", "1-70000"):
        monkeypatch.setenv("AIDB_FREE_PORTS", text)
        with pytest.raises(Refused, match=text):
            ports.free_ports(1)
    monkeypatch.setenv("AIDB_FREE_PORTS", "20000-20004")
    with pytest.raises(Refused, match="5 ports"):
        ports.free_ports(20)
