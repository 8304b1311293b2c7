from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.cluster import SecuredCluster


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCluster]:
    cluster = SecuredCluster(tmp_path_factory.mktemp("secured"))
    yield cluster
    cluster.kill()
