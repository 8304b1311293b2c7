from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# Time asserts nothing here: on a busy machine, and at the first run of a clone, drawing is slow.
settings.register_profile(
    "aidb", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("aidb")

if TYPE_CHECKING:
    from tests.kubernetes.apiserver import ApiServer


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
