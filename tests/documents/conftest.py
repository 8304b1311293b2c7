from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.documents.places import Missing, Place
from tests.kubernetes import apiserver
from tools import helm

UP = "aidb up --detach --shards 2 --replicas 1"
# After each page: clusters and definitions are gone. The namespace stays, since nobody is there to empty it.
CLEAN = """
helm uninstall aidb -n aidb-system --ignore-not-found >/dev/null
kubectl get crd -o name | { grep aidb.io || true; } | xargs -r kubectl delete >/dev/null
"""


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Place], None]]:
    """Gives a place kubectl and helm, and a Kubernetes of an API server alone; it has nothing of AiDb, and no
    other test sees it. The function raises Missing.
    """
    started: list[apiserver.ApiServer] = []

    def use(place: Place) -> None:
        try:
            programs, found = apiserver.programs(), helm.find()
            if not started:
                started.append(apiserver.start(tmp_path_factory.mktemp("kubernetes")))
        except (apiserver.Missing, helm.Missing) as missing:
            raise Missing(str(missing)) from missing
        place.environment["KUBECONFIG"] = str(started[0].kubeconfig)
        place.program("kubectl", f'#!/bin/sh\nexec {shlex.join(programs.kubectl)} "$@"\n')
        place.program("helm", f'#!/bin/sh\nexec {shlex.quote(found)} "$@"\n')

    yield use
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def place(
    tmp_path_factory: pytest.TempPathFactory, kubernetes: Callable[[Place], None]
) -> Iterator[Callable[[str], Place]]:
    """The place of a name. Clusters are started when the first page needs them, and serve all pages."""
    made: list[Place] = []

    def new(name: str) -> Place:
        one = Place(tmp_path_factory.mktemp("documents") / name)
        made.append(one)
        return one

    @cache
    def cluster(name: str) -> Place:
        one = new(name)
        one.run(UP if name == "local" else f"{UP} --secure")
        return one

    def of(name: str) -> Place:
        if name in ("local", "secure"):
            return cluster(name)
        if name == "api":
            one = new(name)
            kubernetes(one)
            one.last = CLEAN
            return one
        return new(name)

    yield of
    for one in made:
        one.close()
