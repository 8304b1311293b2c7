from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests import together

# Time asserts nothing here: on a busy machine, and at the first run of a clone, drawing is slow.
settings.register_profile(
    "aidb", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("aidb")

# Thousands of programs are started: where nothing keeps their bytecode, each compiles our sources again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if TYPE_CHECKING:
    from xdist.remote import Producer

    from tests.kubernetes.apiserver import ApiServer
    from tests.scheduling import Together


def pytest_configure(config: pytest.Config) -> None:
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.environ["AIDB_FREE_PORTS"] = together.share_of_ports(worker, count)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: together.rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    from tests.scheduling import Together

    return Together(config, log)


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One real Kubernetes API server for the whole run, with our CRDs; skips where there is none."""
    from tests.kubernetes import apiserver as programs

    try:
        server = programs.start(tmp_path_factory.mktemp("apiserver"))
    except programs.Missing as missing:
        pytest.skip(str(missing))
    try:
        server.apply_crds()
        yield server
    finally:
        server.stop()


@pytest.fixture
def namespace(apiserver: ApiServer) -> str:
    """One of the test alone."""
    return apiserver.namespace()
