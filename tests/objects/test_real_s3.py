"""What a server that checks signatures says to strangers, and that it keeps what it acknowledged."""

from __future__ import annotations

import pytest

from aidb.objects.errors import Denied, Unavailable
from aidb.objects.s3 import S3Store
from tests.objects.conftest import bucket
from tests.objects.versitygw import Server


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_denied_and_no_missing_key(
    real_s3: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    S3Store(location := bucket(real_s3.endpoint)).create("a", b"x")
    monkeypatch.setenv(name, "wrong")
    stranger = S3Store(location)
    for call in (stranger.get, stranger.head, stranger.page):
        with pytest.raises(Denied, match="credentials") as denied:
            call("a")
        assert "wrong" not in str(denied.value).replace("wrong key", "")
    with pytest.raises(Denied):
        stranger.create("b", b"x")


def test_what_was_acknowledged_survives_the_servers_death(real_s3: Server) -> None:
    store = S3Store(bucket(real_s3.endpoint))
    for number in range(20):
        store.create(f"a/{number:02}", b"%d" % number)
    real_s3.kill()
    with pytest.raises(Unavailable):
        store.get("a/00")
    real_s3.start()
    assert [store.get(stat.key) for stat in store.page("a/")] == [b"%d" % number for number in range(20)]
