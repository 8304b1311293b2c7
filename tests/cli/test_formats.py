"""Files of records: what is written is read back as it was, and what is no record is said to be none."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidb.formats import BEGINNING, NotExpressible, Record, Rejected, open_format
from aidb.formats.choice import FormatName

DEB822 = open_format("deb822")
PAIRS = open_format("jsonl")

NAMES = st.from_regex(r"[A-Z][a-z]{1,8}", fullmatch=True)
TEXTS = st.text("abzä€,:#-. \t", min_size=1, max_size=30)


@st.composite
def stanzas(draw: st.DrawFn) -> bytes:
    """A well-formed stanza with folded fields, comments and any order."""
    fields = draw(st.lists(NAMES, unique_by=str.lower, max_size=5))
    lines = [f"{name}: {draw(TEXTS)}" for name in fields if name.lower() != "package"]
    if lines:
        lines += [" " + text for text in draw(st.lists(TEXTS.filter(str.strip), max_size=2))]
    key = draw(st.from_regex(r"[a-z][a-z0-9+.-]{1,12}", fullmatch=True))
    return "\n".join([f"Package: {key}", *lines]).encode()


def records(name: FormatName, content: bytes, key: str | None = None) -> list[Record | Rejected]:
    return list(open_format(name, key).read(io.BytesIO(content), BEGINNING))


@given(st.lists(stanzas(), max_size=6), st.sampled_from([b"\n\n", b"\n \t\n", b"\n\n\n"]))
def test_a_stanza_keeps_its_bytes(wanted: list[bytes], separator: bytes) -> None:
    found = records("deb822", separator.join(wanted))
    assert [record.value for record in found if isinstance(record, Record)] == wanted
    written = b"".join(DEB822.encode(b"", value, 0) for value in wanted)
    assert [record.value for record in records("deb822", written) if isinstance(record, Record)] == wanted


@given(
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=50), st.sampled_from([0, 5, 2**60])),
        max_size=8,
    )
)
def test_pairs_of_any_bytes_come_back(pairs: list[tuple[bytes, bytes, int]]) -> None:
    written = b"".join(PAIRS.encode(*pair) for pair in pairs)
    found = records("jsonl", written)
    assert [(r.key, r.value, r.expires_at_ms) for r in found if isinstance(r, Record)] == pairs
    assert len(found) == len(pairs)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_to_their_end(content: bytes) -> None:
    names: tuple[FormatName, ...] = ("deb822", "jsonl")
    for name in names:
        found = records(name, content)
        if found:
            assert found[-1].end.offset <= len(content)


@given(st.lists(stanzas(), min_size=1, max_size=6), st.data())
def test_reading_goes_on_from_the_end_of_any_record(wanted: list[bytes], data: st.DataObject) -> None:
    content = b"\n\n".join(wanted)
    whole = records("deb822", content)
    middle = data.draw(st.sampled_from(whole)).end
    stream = io.BytesIO(content)
    stream.seek(middle.offset)
    rest = list(DEB822.read(stream, middle))
    assert rest == [record for record in whole if record.end.offset > middle.offset]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("deb822", b"Version: 1\n", "no field package"),
        ("deb822", b"Package: a\nPackage: b\n", "occurs twice"),
        ("deb822", b" folded\nPackage: a\n", "continuation"),
        ("deb822", b"no colon here\n", "expected 'Field: value'"),
        ("deb822", b"Package:\n", "empty"),
        ("jsonl", b"{", "not JSON"),
        ("jsonl", b"[1]\n", "JSON object"),
        ("jsonl", b'{"key": "", "value": "v"}\n', "empty"),
        ("jsonl", b'{"key": "k"}\n', "value"),
        ("jsonl", b'{"key": "k", "value_base64": "*"}\n', "base64"),
        ("jsonl", b'{"key": "k", "value": "v", "expires_at_ms": -1}\n', "expires_at_ms"),
        ("jsonl", b'{"key": "\xff", "value": "v"}\n', "UTF-8"),
        ("jsonl", b'{"key": true, "value": "v"}\n', "neither text nor an integer"),
    ],
)
def test_what_is_wrong_is_named(name: FormatName, content: bytes, reason: str) -> None:
    good = b"Package: z\n" if name == "deb822" else b'{"key": "z", "value": ""}\n'
    first, second = records(name, content.rstrip(b"\n") + b"\n\n" + good)
    assert isinstance(first, Rejected) and reason.lower() in first.reason.lower()
    assert isinstance(second, Record) and second.key == b"z"


def test_whole_lines_are_values_when_a_key_is_named() -> None:
    line = b'{"id": 7, "b": [1,  2]}'
    (found,) = records("jsonl", line + b"\n", "id")
    assert isinstance(found, Record) and (found.key, found.value) == (b"7", line)
    assert open_format("jsonl", "id").encode(b"7", line, 0) == line + b"\n"
    with pytest.raises(NotExpressible):
        open_format("jsonl", "id").encode(b"8", line, 0)


def test_a_value_that_is_no_stanza_is_refused() -> None:
    for value in (b"", b"hello", b"A: 1\n\nB: 2", b"\nA: 1", b"# only a comment"):
        with pytest.raises(NotExpressible):
            DEB822.encode(b"k", value, 0)


def numbered() -> Iterator[str]:
    return (json.dumps({"key": str(number), "value": "v"}) for number in range(3))


def test_a_byte_order_mark_and_blank_lines_are_no_records() -> None:
    content = b"\xef\xbb\xbf" + "\r\n\r\n".join(numbered()).encode()
    assert [r.key for r in records("jsonl", content) if isinstance(r, Record)] == [b"0", b"1", b"2"]
