"""A primary as a process, with its second copy in an S3 server that comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aidb_node.recovery.recover import recover

from aidb.durability.catalog import Catalog
from aidb.durability.names import Names
from aidb.durability.restore_plan import Target
from aidb.durability.verification import verify
from aidb.objects.location import Bucket
from aidb.objects.s3 import S3Store
from aidb.v1 import common_pb2 as common
from aidb.v1 import node_pb2
from aidb.v1 import storage_pb2 as pb
from tests.coordinator.process import FAST, CoordinatorProcess, until
from tests.node.process import NodeProcess, get, put, refusal
from tests.objects.servers import BUCKET, moto

QUICK = ("--archive-every", "0.1")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    started = CoordinatorProcess(tmp_path / "coordinator", "--shards", "1", *FAST)
    yield started
    started.kill()


def durability(node: NodeProcess) -> pb.DurabilityStats:
    answer: pb.GetStatsResponse = node.storage.GetStats(pb.GetStatsRequest(), timeout=10)
    return answer.durability


def wait_for(node: NodeProcess, holds: Callable[[pb.DurabilityStats], bool]) -> pb.DurabilityStats:
    def held() -> pb.DurabilityStats | None:
        found = durability(node)
        return found if holds(found) else None

    found = until(held, 90)
    assert found is not None
    return found


def test_the_second_copy_in_s3(coordinator: CoordinatorProcess, tmp_path: Path) -> None:
    with moto() as endpoint:
        url = f"s3://{BUCKET}/prefix?endpoint={endpoint}&region=us-east-1&style=path&timeout=2"
        node = NodeProcess(coordinator.address, tmp_path / "shard-0", "--objects", url, *QUICK).ready()
        try:
            lsn = put(node, b"a", b"1").header.lsn
            found = wait_for(node, lambda now: now.archived_lsn >= lsn and now.snapshots_ended > 0)
            assert found.store == f"s3://{BUCKET}/prefix"
            assert (found.archive_error, found.snapshot_error, found.archive_gaps) == ("", "", 0)
            put(node, b"b", b"2")
            ended = node.node.Backup(node_pb2.BackupRequest(name="asked"), timeout=10).snapshots_ended
            wait_for(node, lambda now: now.snapshots_ended > ended)
            last = put(node, b"c", b"3").header.lsn
            wait_for(node, lambda now: now.archived_lsn >= last)
            uid = node.node.GetNodeInfo(node_pb2.GetNodeInfoRequest(), timeout=10).cluster_uid
            catalog = Catalog(S3Store(Bucket(BUCKET, "prefix", endpoint, "us-east-1", "path")), Names(uid, 0))
            verified = verify(catalog)
            assert verified.problems == []
            assert (verified.snapshots, verified.chain_to) == (2, last)
            assert [one.name for one, _ in catalog.manifests_from(1)] == ["asked", ""]
            report = recover(catalog, tmp_path / "copy", Target())
            assert (report.lsn, report.loss) == (last, None)
        except BaseException:
            node.kill()
            raise
    # Nobody listens any more: clients notice nothing, administrators do.
    late = put(node, b"d", b"4").header.lsn
    away = wait_for(node, lambda now: "does not answer" in now.archive_error and now.archive_lag_bytes > 0)
    assert away.archived_lsn < late
    assert not away.snapshot_error
    assert get(node, b"d").value == b"4"
    assert node.stop() == 0


def test_checks_on_schedules_are_in_the_status(coordinator: CoordinatorProcess, tmp_path: Path) -> None:
    checks = ("--verify-every", "0.3", "--drill-every", "0.3")
    objects = tmp_path / "objects"
    node = NodeProcess(
        coordinator.address, tmp_path / "shard-0", "--objects", objects.as_uri(), *QUICK, *checks
    )
    node.ready()
    lsn = put(node, b"a", b"1").header.lsn
    found = wait_for(node, lambda now: min(now.verify.lsn, now.drill.lsn) >= lsn)
    for check in (found.verify, found.drill):
        assert (check.problem, check.ended > 0, check.at_ms > 0) == ("", True, True)
    requests = {one.operation: one for one in found.requests}
    assert requests["create"].requests > 2
    assert requests["create"].bytes > 0
    assert requests["get"].requests > 2
    (stored,) = objects.glob("*/0/sst/*")
    stored.write_bytes(b"damage")
    damaged = wait_for(node, lambda now: bool(now.verify.problem))
    assert stored.name in damaged.verify.problem
    node.kill()


def test_a_store_that_was_never_there(coordinator: CoordinatorProcess, tmp_path: Path) -> None:
    """The primary serves; whoever asks for a backup is told."""
    url = f"s3://{BUCKET}?endpoint=http://127.0.0.1:9&region=us-east-1&timeout=1"
    node = NodeProcess(coordinator.address, tmp_path / "shard-0", "--objects", url, *QUICK).ready()
    put(node, b"a", b"1")
    ended = node.node.Backup(node_pb2.BackupRequest(), timeout=10).snapshots_ended
    found = wait_for(node, lambda now: now.snapshots_ended > ended)
    assert "does not answer" in found.snapshot_error
    node.kill()


def test_without_a_store_a_backup_is_refused(coordinator: CoordinatorProcess, tmp_path: Path) -> None:
    node = NodeProcess(coordinator.address, tmp_path / "shard-0").ready()
    refused = refusal(lambda: node.node.Backup(node_pb2.BackupRequest(), timeout=10))
    node.kill()
    assert refused.code == common.UNSUPPORTED
    assert "--objects" in refused.message


@pytest.mark.parametrize("url", ["nonsense", "s3://b?secret=1", "file://host/x"])
def test_a_wrong_url_is_refused_at_the_start(
    coordinator: CoordinatorProcess, tmp_path: Path, url: str
) -> None:
    node = NodeProcess(coordinator.address, tmp_path / "shard-0", "--objects", url)
    assert node.exit_code() == 2
    assert "--objects" in node.log.read_text()
