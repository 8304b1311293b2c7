"""Named connections: what wins, what is kept, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aidb.admin.app import app as admin
from aidb.cli.connection import find_keyspace, find_tls, found_address
from aidb.cli.exits import Failure
from aidb.cli.main import run
from aidb.cli.profile import choice, config
from aidb.cli.profile.entries import Profile
from tests.cli.command import Command

Capture = pytest.CaptureFixture[str]

TEXTS = st.none() | st.text(min_size=1).filter(str.isprintable)
PROFILES = st.builds(
    Profile,
    address=st.sampled_from([None, "a:1", "a:1,b:2"]),
    tls=TEXTS,
    token_file=TEXTS,
    domain=TEXTS,
    direct=st.none() | st.booleans(),
    keyspace=st.none() | st.integers(0, 2**32 - 1),
    output=st.sampled_from([None, "table", "json", "yaml"]),
)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,10}", fullmatch=True)
CONFIGS = st.builds(config.Config, st.none() | NAMES, st.dictionaries(NAMES, PROFILES, max_size=3))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No profile yet, and nothing else that says where a cluster is."""
    for variable in (*choice.VARIABLES.values(), "AIDB_PROFILE", "AIDB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AIDB_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("AIDB_CONFIG", str(tmp_path / "made" / "config.toml"))
    choice.choose()
    return tmp_path / "made" / "config.toml"


def said(capsys: Capture, *words: object, code: int = 0) -> str:
    capsys.readouterr()
    found = run([*map(str, words)])
    told = capsys.readouterr()
    assert found == code, told
    return told.out if code == 0 else told.err


@given(CONFIGS)
def test_what_is_written_is_read(wanted: config.Config) -> None:
    assert config.parse(config.text_of(wanted)) == wanted


def test_profiles_are_made_shown_used_and_removed(file: Path, capsys: Capture) -> None:
    said(capsys, "profile", "set", "prod", "--address", "db:7400", "--keyspace", 7, "--token-file", "secret")
    said(capsys, "profile", "set", "prod", "--no-direct", "--unset", "keyspace")
    said(capsys, "profile", "set", "test", "--address", "127.0.0.1:1")
    said(capsys, "profile", "use", "prod")
    token_file = str(Path("secret").absolute())
    prod = {"name": "prod", "address": "db:7400", "token_file": token_file, "direct": False}
    assert json.loads(said(capsys, "profile", "show", "-o", "json")) == prod
    listed = json.loads(said(capsys, "profile", "list", "-o", "json"))
    assert [(one["name"], one["current"]) for one in listed] == [("prod", True), ("test", False)]
    assert "* " in said(capsys, "profile", "list")
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    said(capsys, "profile", "remove", "prod")
    assert "no profile is in use" in said(capsys, "profile", "show", code=3)
    assert "there are: test" in said(capsys, "profile", "use", "prod", code=2)


def test_the_command_line_wins_over_the_environment_over_the_profile(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found_address(None)[1].startswith("the default")
    config.save(config.Config("prod", {"prod": Profile("db:1", keyspace=7), "test": Profile("test:2")}))
    choice.choose()
    assert found_address(None) == ("db:1", "profile prod") and find_keyspace() == 7
    monkeypatch.setenv("AIDB_PROFILE", "test")
    choice.choose()
    assert found_address(None) == ("test:2", "profile test") and find_keyspace() == 0
    monkeypatch.setenv("AIDB_ADDRESS", "env:3")
    assert found_address(None) == ("env:3", "$AIDB_ADDRESS")
    choice.choose("prod")
    assert found_address(None) == ("db:1", "profile prod")
    choice.choose("prod", Profile(keyspace=9))
    assert find_keyspace() == 9
    assert found_address("flag:4") == ("flag:4", "--address")


def test_a_token_of_the_environment_and_that_of_a_profile(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.save(config.Config("prod", {"prod": Profile.of({"tls": "/tls", "token_file": "/token"})}))
    monkeypatch.setenv("AIDB_TOKEN", "mine")
    choice.choose()
    assert tls() == ("/tls", "mine", None)
    choice.choose("prod")
    assert tls() == ("/tls", "", "/token")
    choice.choose(None, Profile.of({"token_file": "/other"}))
    assert tls() == ("/tls", "", "/other")


def tls() -> tuple[Any, str, Any]:
    found = find_tls("db:1")
    assert found is not None
    return found.directory, found.token, found.token_file


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("profiles = 1", "profiles is a table"),
        ("[profiles.a]\ntoken = 's'", "keep it in a file"),
        ("[profiles.a]\naddres = 'a:1'", "there is no entry 'addres'"),
        ("[profiles.a]\naddress = 'nonsense'", "host:port"),
        ("[profiles.a]\nkeyspace = -1", "keyspace is a number"),
        ("[profiles.a]\noutput = 'xml'", "output is table, json, yaml"),
        ("[profiles.a]\ndirect = 1", "direct is true or false"),
        ("current = 'b'\n[profiles.a]", "there is no profile 'b'"),
        ("[", "Invalid"),
    ],
)
def test_a_file_that_is_wrong_is_named(file: Path, capsys: Capture, text: str, why: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    told = said(capsys, "status", code=2)
    assert why in told and str(file) in told


def test_a_file_that_others_may_change_is_refused(file: Path) -> None:
    config.save(config.Config())
    file.chmod(0o620)
    with pytest.raises(Failure, match="others may change it"):
        config.load()


def test_a_profile_says_how_to_print(file: Path, capsys: Capture) -> None:
    config.save(config.Config("a", {"a": Profile(output="yaml")}))
    assert yaml.safe_load(said(capsys, "version"))["aidb"]
    assert json.loads(said(capsys, "version", "-o", "json"))["aidb"]
    assert "aidb-node" in said(capsys, "version", "-o", "table").splitlines()[1]


def test_both_programs_go_by_a_profile(
    aidb: Command, file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = aidb.document("status")["coordinator"]["address"]
    said(capsys, "profile", "set", "here", "--address", address, "--keyspace", 5)
    said(capsys, "--profile", "here", "put", "k", "v")
    assert said(capsys, "--profile", "here", "get", "k") == "v"
    said(capsys, "get", "k", "--address", address, code=3)
    asked = json.loads(said(capsys, "--profile", "here", "status", "-o", "json"))["asked"]
    assert asked == {"address": address, "by": "profile here"}
    assert f"asked {address}: profile here" in said(capsys, "--profile", "here", "status")
    monkeypatch.setenv("AIDB_PROFILE", "here")
    assert run(["list-shards", "-o", "json"], admin, "aidb-admin") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
