"""What only S3 does: conditions that stores ignore, errors by their codes, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aidb.objects.errors import (
    Damaged,
    Denied,
    Exists,
    NoSuchBucket,
    NoSuchKey,
    ObjectError,
    Unavailable,
    Unusable,
)
from aidb.objects.location import Bucket, Directory, parse
from aidb.objects.opening import probed
from aidb.objects.s3 import S3Store
from aidb.objects.s3_errors import translated
from aidb.objects.store import ObjectStore
from tests.objects.conftest import bucket
from tests.objects.servers import ignoring_conditions


def test_the_probe_finds_exclusive_creates_and_leaves_nothing(store: ObjectStore) -> None:
    assert probed(store, "uid") is store
    assert store.page("") == []


def test_the_probe_finds_a_store_that_ignores_the_condition(s3_endpoint: str) -> None:
    with ignoring_conditions(s3_endpoint) as endpoint:
        careless = S3Store(bucket(endpoint))
        careless.create("a", b"first")
        careless.create("a", b"second")
        assert careless.get("a") == b"second", (
            "the proxy must strip the condition, or this test shows nothing"
        )
        found = probed(careless, "uid")
        assert not found.fenced
        found.create("b", b"first")
        with pytest.raises(Exists):
            found.create("b", b"second")
        assert found.get("b") == b"first"
        assert [stat.key for stat in found.page("")] == ["a", "b"]


def test_a_missing_bucket_is_no_missing_key(s3_endpoint: str) -> None:
    store = S3Store(Bucket("no-such-bucket", "p", s3_endpoint, "us-east-1", "path"))
    for call in (store.get, store.head):
        with pytest.raises(NoSuchBucket, match="no-such-bucket"):
            call("a")
    with pytest.raises(NoSuchBucket):
        store.create("a", b"")


def test_nobody_listens_is_unavailable() -> None:
    store = S3Store(Bucket("b", "p", "http://127.0.0.1:9", "us-east-1", "path", timeout=1))
    with pytest.raises(Unavailable, match="does not answer"):
        store.get("a")


def test_a_failed_upload_in_parts_leaves_no_parts(s3_endpoint: str, tmp_path: Path) -> None:
    store = S3Store(bucket(s3_endpoint), part_bytes=5 << 20)
    path = tmp_path / "file"
    path.write_bytes(b"z" * (12 << 20))
    store.create("big", b"taken")
    with pytest.raises(Exists):
        store.create_file("big", path)
    left = store._client.list_multipart_uploads(Bucket=store._location.bucket)
    assert left.get("Uploads", []) == []


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, NoSuchKey),
        ("404", 404, Unusable),
        ("NoSuchBucket", 404, NoSuchBucket),
        ("PreconditionFailed", 412, Exists),
        ("ConditionalRequestConflict", 409, Unavailable),
        ("SlowDown", 503, Unavailable),
        ("InternalError", 500, Unavailable),
        ("InvalidAccessKeyId", 404, Denied),
        ("SignatureDoesNotMatch", 403, Denied),
        ("KMS.NotFoundException", 400, Denied),
        ("KMS.DisabledException", 400, Denied),
        ("KMS.KMSInvalidStateException", 409, Denied),
        ("KMS.InternalFailureException", 500, Unavailable),
        ("BadDigest", 400, Damaged),
        ("NotImplemented", 501, Unavailable),
        ("MalformedXML", 400, Unusable),
    ],
)
def test_the_code_decides(code: str, status: int, kind: type[ObjectError]) -> None:
    from botocore.exceptions import ClientError

    answer: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert type(translated(ClientError(answer, "GetObject"), "key", "s3://b")) is kind


def test_urls() -> None:
    assert parse("file:///a%20b/c") == Directory(Path("/a b/c"))
    assert parse("s3://bucket/a/b/") == Bucket("bucket", "a/b")
    full = (
        "s3://b?endpoint=https://s3.example&region=r&style=virtual&sse=aws:kms&kms_key=k&profile=p&timeout=5"
    )
    assert parse(full) == Bucket("b", "", "https://s3.example", "r", "virtual", "aws:kms", "k", "p", 5.0)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relative/dir",
        "file://host/dir",
        "file:///dir?x=1",
        "s3://",
        "s3://key:secret@bucket",
        "s3://b?secret=x",
        "s3://b?style=none",
        "s3://b?endpoint=host:1",
        "s3://b?timeout=soon",
        "s3://b?kms_key=k",
        "oss://b",
    ],
)
def test_urls_that_cannot_work_are_refused(url: str) -> None:
    with pytest.raises(Unusable) as refused:
        parse(url)
    assert "secret@" not in str(refused.value) or url.startswith("s3://key") is False
