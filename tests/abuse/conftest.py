from __future__ import annotations

import random
import resource
from collections.abc import Iterator

import pytest

from tests.abuse import readers
from tests.abuse.targets import Cluster

# Short, so that those who owe something are seen to be closed.
PATIENCE_SECONDS = 2
MOST_CONNECTIONS = 600


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """All programs; what one test does to them the next one would notice."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    limits = ("--client-patience", str(PATIENCE_SECONDS), "--max-connections", str(MOST_CONNECTIONS))
    running = Cluster(tmp_path_factory.mktemp("abuse"), *limits)
    readers.prepare(running)
    yield running
    running.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


@pytest.fixture
def rng() -> random.Random:
    """Of a seed that is printed, so that a failed run can be done again."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)
