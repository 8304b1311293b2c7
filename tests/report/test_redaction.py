"""What a report leaves out. (Objects of Kubernetes: tests/operator/test_kubectl.py.)"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from aidb.report.archive import archive
from aidb.report.coordinator import plain
from aidb.report.redaction import HIDDEN, redacted, text
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import common_pb2, storage_pb2

TOKEN = "aidb_" + "x7" * 20


@pytest.mark.parametrize(
    "line",
    [
        f"authorization: Bearer {TOKEN}",
        f"called with {TOKEN} from here",
        "AWS_SECRET_ACCESS_KEY=planted",
        "key AKIAPLANTED123456789 was refused",
        '{"message": "x", "token": "planted"}',
        "https://user:planted@s3.example/bucket",
        "password: planted",
        "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----",
    ],
)
def test_secrets_in_a_line_are_hidden(line: str) -> None:
    found = text(line)
    assert HIDDEN in found
    assert not any(secret in found for secret in (TOKEN, "planted", "PLANTED"))


@pytest.mark.parametrize(
    "line",
    [
        "WARNING aidb-node/shard-0-primary not registered yet attempt=1 reason=TOKEN_INVALID: these are none",
        "tokens: 3, token_lsn=7, started with --tokens /data/tokens.json",
        "http://127.0.0.1:7400/metrics",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert text(line) == line


def test_keys_and_values_of_messages_are_left_out() -> None:
    hot = pb.ListHotKeysResponse(keys=[pb.HotKeyStatus(key=b"planted-key", slot=7)])
    assert plain(hot) == {"keys": [{"slot": 7}]}
    error = common_pb2.Error(message="m", current=common_pb2.Entry(key=b"planted-key", value=b"planted"))
    answer = storage_pb2.GetRequest(header=common_pb2.RequestHeader(token=b"planted"), key=b"planted")
    for message in (error, answer):
        before = message.SerializeToString()
        assert "planted" not in json.dumps(plain(message))
        assert message.SerializeToString() == before, "the message itself is left as it was"


def test_secrets_at_hand_are_hidden_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "made.tar.gz"
    with archive(path, {"what": "opensesame"}, frozenset({"opensesame", "x"})) as made:
        made.add("a.txt", "said: opensesame, next")
        made.add_document("b.json", {"called": ["opensesame"], "secretName": "s3"})
        made.lacks("c", "opensesame")
    with tarfile.open(path) as opened:
        found = {
            one.name: content.read().decode()
            for one in opened
            if (content := opened.extractfile(one)) is not None
        }
    assert set(found) == {"made/a.txt", "made/b.json", "made/report.json"}
    assert not any("opensesame" in content for content in found.values())
    # Shorter than a secret is; and names of secrets are none.
    assert found["made/a.txt"] == f"said: {HIDDEN}, next"
    assert json.loads(found["made/b.json"])["secretName"] == "s3"
    assert path.stat().st_mode & 0o077 == 0


def test_a_report_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "made.tar.gz"
    with pytest.raises(RuntimeError), archive(path, {}) as made:
        made.add("a.txt", "x")
        raise RuntimeError
    assert not path.exists()
    path.write_text("other")
    with pytest.raises(FileExistsError), archive(path, {}):
        pass
    assert path.read_text() == "other"


def test_an_object_keeps_its_shape() -> None:
    assert redacted({"a": ("x", 1, None), "apiToken": "planted"}) == {
        "a": ["x", 1, None],
        "apiToken": HIDDEN,
    }
