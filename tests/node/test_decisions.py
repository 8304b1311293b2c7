"""The pure parts of a program's life: identity, registration, settings, log lines."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from aidb_node import config, identity, lifecycle, registration
from aidb_node.failure import StartRefused

from aidb import errors


def test_an_identity_is_drawn_once(tmp_path: Path) -> None:
    first = identity.claim(tmp_path / "data", 3)
    assert identity.claim(tmp_path / "data", 3) == first
    assert identity.claim(tmp_path / "other", 3).disk_id != first.disk_id
    changed = identity.update(tmp_path / "data", first, cluster_uid="uid", pending_epoch=4)
    assert identity.claim(tmp_path / "data", 3) == changed
    assert (changed.disk_id, changed.cluster_uid, changed.pending_epoch) == (first.disk_id, "uid", 4)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [identity.FILE]


def test_what_a_crash_or_a_file_system_left_is_not_foreign(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".identity-123").write_text("{")
    identity.claim(tmp_path, 0)


def test_an_older_start_in_the_same_directory_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    created = identity._create

    def late(directory: Path, own: identity.Identity) -> None:
        created(directory, identity.Identity(disk_id="theirs", shard=0))
        created(directory, own)

    monkeypatch.setattr(identity, "_create", late)
    assert identity.claim(tmp_path / "data", 0).disk_id == "theirs"


def test_a_disk_asks_for_the_epoch_after_its_own() -> None:
    disk = identity.Identity(disk_id="d", shard=0, cluster_uid="uid", pending_epoch=8)
    assert registration.request_of(disk, 7, 99) == registration.Request("uid", 7, 8, 99)


@pytest.mark.parametrize("kind", [errors.WrongCluster, errors.RegistrationRefused, errors.InvalidArgument])
def test_what_will_not_change_is_given_up(kind: type[errors.AidbError]) -> None:
    assert registration.after_failure(kind("why"), 0) == registration.GiveUp("why")


def test_what_may_change_is_asked_again_ever_more_slowly() -> None:
    pauses = []
    for attempt in range(100):
        decision = registration.after_failure(errors.ShardUnavailable("down"), attempt)
        assert isinstance(decision, registration.Retry)
        pauses.append(decision.pause)
    assert pauses == sorted(pauses)
    assert pauses[-1] == registration.LONGEST_PAUSE
    busy = registration.after_failure(errors.Busy("full", retry_after=7.0), 0)
    assert busy == registration.Retry(7.0)


def test_a_grant_that_goes_back_is_not_taken() -> None:
    request = registration.Request("uid", disk_epoch=7, pending_epoch=8)
    assert registration.check_grant(request, "uid", 8) == ""
    assert registration.check_grant(request, "uid", 12) == ""
    assert "old copy" in registration.check_grant(request, "uid", 7)
    assert "other" in registration.check_grant(request, "other", 8)
    assert registration.check_grant(registration.Request(), "any", 0) == ""


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ("64MiB", 64 << 20), ("2g", 2 << 30), ("3 KB", 3 << 10)]
)
def test_sizes(text: str, size: int) -> None:
    assert config.size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1x", "MiB", "1.5g"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        config.size(text)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["primary"],
        ["router", "--coordinator", "a:1", "--name", "r", "--listen", "a:2", "--shard", "1"],
        ["primary", "--coordinator", "a:1", "--name", "p", "--listen", "a:2", "--data", "d", "--shard", "-1"],
        [
            "primary",
            "--coordinator",
            "a:1",
            "--name",
            "p",
            "--listen",
            "a:2",
            "--data",
            "d",
            "--shard",
            "0",
            "--sync",
            "maybe",
        ],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        config.parse(arguments)
    assert caught.value.code == 2


def test_a_damaged_identity_is_refused() -> None:
    for text in (b"", b"[]", b'{"format": "x"}', b"\xff"):
        with pytest.raises(StartRefused, match="damaged"):
            identity.parse(text, Path("data"))


def test_a_zone_comes_from_a_file_of_nodes(tmp_path: Path) -> None:
    file = tmp_path / "zones"
    common = ["router", "--coordinator", "h:1", "--name", "r", "--listen", "h:0", "--zones", str(file)]
    assert config.parse([*common, "--node", "n1"]).zone == ""
    file.write_text("n1 west\nn10 east\n")
    assert config.parse([*common, "--node", "n1"]).zone == "west"
    assert config.parse([*common, "--node", "n10"]).zone == "east"
    assert config.parse([*common, "--node", "n2"]).zone == ""
    assert config.parse([*common, "--node", "n1", "--zone", "given"]).zone == "given"


def test_others_are_told_an_address_that_they_can_go_to() -> None:
    assert lifecycle.reachable("0.0.0.0:9400", "10.1.2.3:7400") == "10.1.2.3:9400"
    assert lifecycle.reachable("[::]:9400", "[fd00::1]:7400") == "[fd00::1]:9400"
    assert lifecycle.reachable("127.0.0.1:9400", "10.1.2.3:7400") == "127.0.0.1:9400"
    assert lifecycle.reachable("0.0.0.0:9400", "") == "0.0.0.0:9400"
