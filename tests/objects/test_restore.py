"""`aidb-admin recover` from a real S3 server that checks signatures, and from a directory: whatever is wrong
with the key, the bucket or the objects, a precise error, an exit code of its own, and nothing half restored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aidb.admin.app import app
from aidb.cli.main import run
from aidb.durability.names import Names, stamp
from aidb.durability.stamp import ensure_stamp
from aidb.objects.file import FileStore
from aidb.objects.location import Bucket
from aidb.objects.s3 import S3Store
from aidb.objects.store import ObjectStore, every
from tests.backup.support import NAMES, contents, open_store
from tests.backup.test_recovery import Lived, once  # noqa: F401
from tests.objects.conftest import _PROGRAM, bucket
from tests.objects.versitygw import Server

UID = NAMES.cluster_uid
# What was there before: a restore that fails leaves it as it is.
BEFORE = "precious"


@dataclass(frozen=True)
class Place:
    """A store with the history of `Lived` and what names it on a command line; ``known``: what was
    archived.
    """

    url: str
    store: ObjectStore
    lived: Lived
    location: Bucket | None = None

    def replace(self, key: str, body: bytes) -> None:
        self.store.delete(key)
        self.store.create(key, body)


def url_of(location: Bucket) -> str:
    options = f"endpoint={location.endpoint}&region={location.region}&style={location.style}"
    return f"s3://{location.bucket}/{location.prefix}?{options}"


def filled(store: ObjectStore, lived: Lived) -> None:
    for stat in every(lived.objects, ""):
        store.create(stat.key, lived.objects.get(stat.key))
    ensure_stamp(store, UID)


@pytest.fixture(params=["file"] + ["versitygw"] * (_PROGRAM is not None))
def place(request: pytest.FixtureRequest, once: Lived, tmp_path: Path) -> Place:  # noqa: F811
    if request.param == "versitygw":
        return in_s3(request.getfixturevalue("real_s3"), once)
    store = FileStore(tmp_path / "objects")
    filled(store, once)
    return Place(store.url, store, once)


def in_s3(server: Server, lived: Lived) -> Place:
    location = bucket(server.endpoint)
    store = S3Store(location)
    filled(store, lived)
    return Place(url_of(location), store, lived, location)


class Recover:
    """The command, and the directory it is to restore to, which has something in it already."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.into = root / "into"
        self._capture = capture
        (self.into / "store").mkdir(parents=True)
        (self.into / "store" / BEFORE).write_text(BEFORE)

    def __call__(self, url: str, *options: str) -> tuple[int, str]:
        arguments = ["recover", "--shard", "0", "--objects", url, "--into", str(self.into), *options]
        code = run(arguments, app, "aidb-admin")
        return code, self._capture.readouterr().err

    def refused(self, url: str, *options: str) -> tuple[int, str]:
        code, said = self(url, *options)
        lines = said.strip().splitlines()
        assert lines[-1].startswith("aidb-admin: "), said
        assert "internal error" not in said, said
        assert [path.name for path in (self.into / "store").iterdir()] == [BEFORE]
        return code, lines[-1]


@pytest.fixture
def recover(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Recover:
    return Recover(tmp_path, capsys)


def comes_back(recover: Recover, place: Place) -> None:
    code, said = recover(place.url)
    assert code == 0, said
    store = open_store(recover.into / "store", create=False)
    assert contents(store) == place.lived.history.now
    store.close()


def test_everything_comes_back(place: Place, recover: Recover) -> None:
    comes_back(recover, place)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("uid", [[], ["--cluster", UID]], ids=["found out", "named"])
def test_a_wrong_key(
    real_s3: Server,
    once: Lived,  # noqa: F811
    recover: Recover,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    uid: list[str],
) -> None:
    place = in_s3(real_s3, once)
    with monkeypatch.context() as patch:
        patch.setenv(name, "not-the-right-one")
        code, said = recover.refused(place.url, *uid)
    assert code == 8
    assert "check the credentials" in said
    assert "not-the-right-one" not in said or name != "AWS_SECRET_ACCESS_KEY"
    assert [path.name for path in recover.into.iterdir()] == ["store"], "not even a beginning"
    comes_back(recover, place)


def test_no_key_at_all(
    real_s3: Server,
    once: Lived,  # noqa: F811
    recover: Recover,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    place = in_s3(real_s3, once)
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        patch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        code, said = recover.refused(place.url)
        assert (code, "give credentials" in said) == (8, True), said
        code, said = recover.refused(f"{place.url}&profile=nobodys")
        assert (code, "nobodys" in said) == (2, True), said


def test_another_bucket(real_s3: Server, once: Lived, recover: Recover) -> None:  # noqa: F811
    place = in_s3(real_s3, once)
    assert place.location is not None
    code, said = recover.refused(url_of(replace(place.location, bucket="somebody-elses")))
    assert code == 2
    assert "bucket of s3://somebody-elses/" in said and "does not exist" in said


def test_a_bucket_of_another_cluster(place: Place, recover: Recover) -> None:
    code, said = recover.refused(place.url, "--cluster", "mine")
    assert (code, f"nothing of cluster mine, but of {UID}" in said) == (1, True), said
    # As if it had been copied from there.
    place.store.create(stamp("mine"), place.store.get(stamp(UID)))
    code, said = recover.refused(place.url, "--cluster", "mine")
    assert (code, f"stamp of cluster {UID}" in said) == (1, True), said


Harm = Callable[[Place, str], None]


def flipped(place: Place, key: str) -> None:
    content = bytearray(place.store.get(key))
    content[len(content) // 2] ^= 4
    place.replace(key, bytes(content))


def truncated(place: Place, key: str) -> None:
    place.replace(key, place.store.get(key)[:-1])


def missing(place: Place, key: str) -> None:
    place.store.delete(key)


def of_another_shard(place: Place, key: str) -> None:
    """The very same object, of shard 7."""
    other = Names(UID, 7)
    name = key.rpartition("/")[2]
    assert key == NAMES.manifest(3, 1)
    moved: Any = place.lived.snapshots[-1]
    moved = replace(moved, place=replace(moved.place, shard=other.shard))
    place.replace(key, moved.encode())
    assert name in other.manifest(3, 1)


TABLE = "sst"
MANIFEST = NAMES.manifest(3, 1)
PIECE = NAMES.log(3, 6)


@pytest.mark.parametrize(
    ("key", "harm", "said_to_be"),
    [
        (TABLE, flipped, "another content than its name says"),
        (TABLE, truncated, "bytes"),
        (TABLE, missing, "is missing"),
        (MANIFEST, flipped, "checksum"),
        (MANIFEST, truncated, ""),
        (MANIFEST, of_another_shard, "belongs to uid/7"),
        (PIECE, flipped, "the records after lsn"),
        (PIECE, truncated, "the records after lsn"),
        (PIECE, missing, "the records after lsn"),
    ],
)
def test_an_object_that_is_not_what_it_was(
    place: Place, recover: Recover, key: str, harm: Harm, said_to_be: str
) -> None:
    if key == TABLE:
        key = NAMES.table(place.lived.snapshots[-1].files[0].sha256)
    whole = place.store.get(key)
    harm(place, key)
    code, said = recover.refused(place.url)
    assert code in (1, 3)
    assert key in said, said
    assert said_to_be in said, said
    place.replace(key, whole)
    comes_back(recover, place)
