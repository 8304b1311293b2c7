from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from aidb.objects.file import FileStore
from aidb.objects.location import Bucket
from aidb.objects.s3 import S3Store
from aidb.objects.store import ObjectStore
from tests.objects import versitygw
from tests.objects.servers import BUCKET, moto

_PROGRAM = versitygw.find()


@pytest.fixture(scope="session", autouse=True)
def credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", versitygw.ACCESS)
        patch.setenv("AWS_SECRET_ACCESS_KEY", versitygw.SECRET)
        yield


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with moto() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def real_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[versitygw.Server]:
    """A server that checks signatures; only where one is installed."""
    if _PROGRAM is None:
        pytest.skip("versitygw is not installed: make evidence-objects")
    with versitygw.running(_PROGRAM, tmp_path_factory.mktemp("s3") / "data") as server:
        yield server


def bucket(endpoint: str) -> Bucket:
    return Bucket(BUCKET, f"p-{uuid.uuid4().hex}", endpoint, "us-east-1", "path")


@pytest.fixture(params=["file", "moto"] + ["versitygw"] * (_PROGRAM is not None))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """One of each kind, empty."""
    if request.param == "file":
        yield FileStore(tmp_path / "objects")
        return
    if request.param == "versitygw":
        endpoint = request.getfixturevalue("real_s3").endpoint
    else:
        endpoint = request.getfixturevalue("s3_endpoint")
    made = S3Store(bucket(endpoint), part_bytes=5 << 20)
    yield made
    made.close()
