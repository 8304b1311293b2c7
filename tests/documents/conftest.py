from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.documents.places import Missing, Place
from tests.kubernetes import apiserver
from tools import helm

UP = "aidb up --detach --shards 2 --replicas 1 --timeout 10m"
# After each page: no release, no clusters. Everything else stays, as the namespace has to, since nobody is
# there to empty it; the next release takes it over. `helm uninstall` takes ten times as long, and a
# definition that is deleted just after it was changed can hang in a busy API server.
CLEAN = """
kubectl delete secret -n aidb-system -l owner=helm --ignore-not-found >/dev/null
kubectl delete aidbclusters --all --all-namespaces --wait=false >/dev/null
"""
# Definitions are served a moment after Helm has made them: these are there before, for it to take over.
ADOPTED = """
release="meta.helm.sh/release-name=aidb meta.helm.sh/release-namespace=aidb-system"
kubectl annotate crd --all $release >/dev/null
kubectl label crd --all app.kubernetes.io/managed-by=Helm >/dev/null
"""


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Place], None]]:
    """Gives a place kubectl and helm, and a Kubernetes of an API server alone; it has nothing of AiDb, and no
    other test sees it. The function raises Missing.
    """
    started: list[apiserver.ApiServer] = []

    def use(place: Place) -> None:
        new = False
        try:
            programs, found = apiserver.programs(), helm.find()
            if not started:
                started.append(apiserver.start(tmp_path_factory.mktemp("kubernetes")))
                new = True
        except (apiserver.Missing, helm.Missing) as missing:
            raise Missing(str(missing)) from missing
        place.environment["KUBECONFIG"] = str(started[0].kubeconfig)
        place.program("kubectl", f'#!/bin/sh\nexec {shlex.join(programs.kubectl)} "$@"\n')
        place.program("helm", f'#!/bin/sh\nexec {shlex.quote(found)} "$@"\n')
        if new:
            started[0].apply_crds()
            place.run(ADOPTED)

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
