"""Documents in ConfigMaps, written against a real API server, with answers that get lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from aidb_coordinator.autoscaling.memory import Memory
from aidb_coordinator.kubernetes import document as documents
from aidb_coordinator.kubernetes.document import ConfigMapDocument
from aidb_coordinator.kubernetes.keeping import KubernetesJournal, KubernetesMemory
from aidb_coordinator.store import Conflict, LeadershipEnded, StoreBroken, StoreError
from aidb_coordinator.store.kubernetes import KubernetesStore

from tests.coordinator.values import topology
from tests.kubernetes.apiserver import ApiServer
from tests.kubernetes.faulty import Faulty

Open = Callable[..., ConfigMapDocument]


@pytest.fixture
def api(apiserver: ApiServer) -> Iterator[Faulty]:
    with apiserver.client() as connection:
        faulty = Faulty(connection, 1, 0.0)
        yield faulty
        faulty.close()


@pytest.fixture
def opened(api: Faulty, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A document of that name, for a process that leads, or not."""
    monkeypatch.setattr(documents, "_PAUSE", 0.001)

    def made(name: str = "c-topology", leads: Callable[[], bool] = lambda: True) -> ConfigMapDocument:
        return ConfigMapDocument(api, namespace, name, {"aidb.io/cluster": "c"}, leads)

    return made


def test_a_document_is_replaced_only_by_whom_knows_its_newest_state(opened: Open) -> None:
    first, second = opened(), opened()
    assert first.read() is None
    with pytest.raises(Conflict, match="not at revision"):
        first.write("something", b"{}")
    one = first.write(None, b'{"n":1}')
    assert second.read() == one
    two = second.write(one.revision, b'{"n":2}')
    with pytest.raises(Conflict, match="changed by somebody else"):
        first.write(one.revision, b'{"n":3}')
    assert first.read() == two
    with pytest.raises(Conflict):
        opened().write(None, b"{}")


def test_what_others_do_to_the_object_is_no_write(opened: Open, apiserver: ApiServer, namespace: str) -> None:
    document = opened()
    one = document.write(None, b'{"n":1}')
    apiserver.kubectl("-n", namespace, "label", "configmap", "c-topology", "team=a")
    document.write(one.revision, b'{"n":2}')
    assert "team: a" in apiserver.kubectl("-n", namespace, "get", "configmap", "c-topology", "-o", "yaml")
    edit = '{"binaryData":{"document":"e30="}}'
    held = document.read()
    assert held is not None
    apiserver.kubectl("-n", namespace, "patch", "cm", "c-topology", "-p", edit)
    with pytest.raises(Conflict, match="somebody else"):
        document.write(held.revision, b'{"n":3}')


def test_large_documents_fit_and_too_large_ones_change_nothing(opened: Open) -> None:
    document = opened()
    large = b"[" + b"1," * 2_000_000 + b"1]"
    held = document.write(None, large)
    again = opened().read()
    assert again is not None
    assert (again.content, again.revision) == (large, held.revision)
    with pytest.raises(StoreError, match="are the most"):
        document.write(held.revision, random.Random(1).randbytes(1_100_000))
    assert document.write(held.revision, b"{}").content == b"{}"


def test_who_leads_no_more_writes_nothing(opened: Open) -> None:
    one = opened().write(None, b"{}")
    late = opened(leads=lambda: False)
    assert late.read() == one
    with pytest.raises(LeadershipEnded):
        late.write(one.revision, b"[]")
    assert opened().read() == one


def test_without_an_answer_until_the_leadership_ends_nobody_knows(opened: Open, api: Faulty) -> None:
    turns = iter([True, True, True])
    document = opened(leads=lambda: next(turns, False))
    api.odds = 1.0
    with pytest.raises(StoreBroken, match="cannot tell"):
        document.write(None, b"{}")


def test_lost_answers_lose_no_write_and_repeat_none(
    apiserver: ApiServer, opened: Open, api: Faulty, namespace: str
) -> None:
    """Two writers count in one document: each success is one step, each failure none, whatever got lost."""
    api.odds = 0.3
    opened().write(None, b"0")
    counts, unknown = {1: 0, 2: 0}, {1: 0, 2: 0}
    failures: list[BaseException] = []

    def count(number: int) -> None:
        with apiserver.client() as connection:
            own = Faulty(connection, number, 0.3)
            document = ConfigMapDocument(own, namespace, "c-topology", {}, lambda: True)
            try:
                while counts[number] < 10:
                    held = document.read()
                    assert held is not None
                    try:
                        document.write(held.revision, str(int(held.content) + 1).encode())
                        counts[number] += 1
                    except Conflict:
                        continue
                    except StoreBroken:
                        unknown[number] += 1
                assert own.lost
            except BaseException as error:
                failures.append(error)
            finally:
                own.close()

    threads = [threading.Thread(target=count, args=(number,)) for number in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    api.odds = 0.0
    final = opened().read()
    assert final is not None
    done = sum(counts.values())
    assert done <= int(final.content) <= done + sum(unknown.values())


def test_the_store_keeps_the_topology(opened: Open, apiserver: ApiServer, namespace: str) -> None:
    store = KubernetesStore(opened(), lambda: float("inf"))
    assert store.load() is None
    first = store.swap(None, topology())
    second = store.swap(first.revision, replace(topology(), term=9))
    other = KubernetesStore(opened(), lambda: float("inf"))
    assert other.load() == second
    with pytest.raises(Conflict):
        other.swap(first.revision, topology())
    edit = '{"binaryData":{"document":"e30="}}'
    apiserver.kubectl("-n", namespace, "patch", "cm", "c-topology", "-p", edit)
    with pytest.raises(StoreError, match="c-topology is not a topology"):
        other.load()


def test_whoever_loads_the_others_documents_is_the_only_one_to_write_them(opened: Open) -> None:
    old, new = KubernetesJournal(opened("c-operations")), KubernetesJournal(opened("c-operations"))
    assert old.load() == ()
    old.save(())
    assert new.load() == ()
    with pytest.raises(Conflict):
        old.save(())
    new.save(())
    memory = KubernetesMemory(opened("c-autoscaler"))
    assert memory.load() == Memory()
    memory.save(Memory(settings={"tolerance": "0.2"}))
    assert KubernetesMemory(opened("c-autoscaler")).load().settings == {"tolerance": "0.2"}
