"""The files of a secured program: what can be used, what is told, and when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aidb.security import authority, tokens
from aidb.security.authority import Signed
from aidb.security.material import BadMaterial, Material
from aidb.security.names import DEFAULT_DOMAIN
from aidb.security.watch import Watched


def row(**changes: object) -> dict[str, object]:
    return {"name": "a", "role": "read-only", "sha256": "00" * 32, "expires_ms": 0, **changes}


def content(*rows: dict[str, object], format: int = 1) -> bytes:
    return json.dumps({"format": format, "tokens": rows}).encode()


def test_tokens_survive_their_file() -> None:
    secret = tokens.new_secret()
    token = tokens.Token("ci", "read-write", tokens.digest(secret).hex(), 7)
    assert tokens.parse(tokens.document([token])) == (token,)
    assert secret.encode() not in tokens.document([token])
    assert tokens.find([token], secret) is token and tokens.find([token], secret + "x") is None


def test_limits_survive_the_file() -> None:
    plain = tokens.Token("plain", "admin", "00" * 32)
    prefixes = (b"user:", "Grüße".encode(), b"\xff\x00")
    limited = tokens.Token("limited", "read-only", "01" * 32, 0, (0, 3, (1 << 32) - 1), prefixes)
    assert tokens.parse(tokens.document([plain, limited])) == (plain, limited)
    # A program that knows no limits may read a file without any, and must not read one with some.
    assert json.loads(tokens.document([plain]))["format"] == 1
    assert json.loads(tokens.document([plain, limited]))["format"] == 2


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (b"{", "damaged"),
        (b"[]", "damaged"),
        (content(row(sha256="00")), "damaged"),
        (content(row(sha256="no hash")), "damaged"),
        (content(row(name="")), "damaged"),
        (content(row(more=1)), "damaged"),
        (content(row(role="root")), "root"),
        (content(row(), row()), "one name"),
        (content(format=3), "upgrade"),
        (content(row(keyspaces=[])), "damaged"),
        (content(row(keyspaces="3")), "damaged"),
        (content(row(keyspaces=[True])), "damaged"),
        (content(row(keyspaces=[1 << 32])), "from 0 to"),
        (content(row(keyspaces=[-1])), "from 0 to"),
        (content(row(prefixes=[])), "damaged"),
        (content(row(prefixes=[""])), "bytes"),
        (content(row(prefixes=["p" * 1025])), "bytes"),
        (content(row(prefixes=[{"base64": "?"}])), "damaged"),
        (content(row(prefixes=[7])), "damaged"),
        (content(row(keyspaces=list(range(257)))), "more than 256"),
        (content(row(role="admin", keyspaces=[3])), "cannot be limited"),
        (content(row(role="monitor", prefixes=["a"])), "cannot be limited"),
    ],
)
def test_a_file_of_tokens_that_cannot_be_used(damaged: bytes, words: str) -> None:
    with pytest.raises(tokens.BadTokens, match=words):
        tokens.parse(damaged)


@pytest.fixture(scope="module")
def signed() -> tuple[Signed, Signed]:
    """An authority and a node's."""
    ca = authority.new_authority("test")
    return ca, authority.program(ca, "n", "node", DEFAULT_DOMAIN)


def test_a_tls_directory(signed: tuple[Signed, Signed], tmp_path: Path) -> None:
    ca, node = signed
    authority.write_directory(tmp_path, ca.certificate, node)
    material = Material.read(tmp_path).checked()
    assert (material.ca, material.certificate, material.key) == (ca.certificate, node.certificate, node.key)
    assert "PRIVATE" not in repr(material)
    authority.write_directory(tmp_path, ca.certificate, Signed(node.certificate, ca.key))
    with pytest.raises(BadMaterial, match=r"tls\.crt and tls\.key cannot be used together"):
        Material.read(tmp_path).checked()
    authority.write_directory(tmp_path, b"nothing", node)
    with pytest.raises(BadMaterial, match=r"ca\.crt"):
        Material.read(tmp_path).checked()
    assert len([path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]) == 1
    (tmp_path / "tls.key").unlink()
    with pytest.raises(BadMaterial, match=r"tls\.key"):
        Material.read(tmp_path)


def test_a_value_is_made_again_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("1")
    watched = Watched(file.read_text, int)
    assert watched.value == 1 and not watched.poll()
    file.write_text("2")
    assert watched.poll() and watched.value == 2 and not watched.poll()


def test_what_is_half_replaced_is_no_failure_and_what_stays_so_is_one(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("1")
    watched = Watched(file.read_text, int)
    file.write_text("t")
    assert not watched.poll() and watched.failures == 0
    file.write_text("2")
    assert watched.poll() and watched.failures == 0
    file.write_text("t")
    assert [watched.poll() for _ in range(5)] == [False] * 5
    assert watched.value == 2 and watched.failures == 1 and "'t'" in watched.problem
    file.unlink()
    assert not watched.poll() and not watched.poll() and watched.failures == 2
    file.write_text("2")
    assert not watched.poll() and watched.problem == ""
