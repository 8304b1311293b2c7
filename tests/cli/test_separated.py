"""CSV and TSV: any bytes come back; what is no row is said to be none, with its line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidb.formats import BEGINNING, BadFile, Columns, NotExpressible, Record, Rejected, open_format
from aidb.formats.choice import FormatName
from tests.cli.command import Command

# With what is special to the formats, and to how they are parsed.
BYTES = st.binary(max_size=40) | st.text('",;\t\r\n\0aä\ufeff', max_size=12).map(str.encode)
KEYS = BYTES.filter(bool)
PAIRS = st.lists(st.tuples(KEYS, BYTES, st.sampled_from([0, 5, 2**60])), max_size=6)
TEXTS = st.text('",;\t\r\naä😀', max_size=8)
NAMES: st.SearchStrategy[FormatName] = st.sampled_from(["csv", "tsv"])
DELIMITERS = st.sampled_from([None, ";", "|", " ", "a", "\t"])


def records(
    name: FormatName, content: bytes, key: str | None = None, columns: Columns | None = None
) -> list[Record | Rejected]:
    return list(open_format(name, key, columns).read(io.BytesIO(content), BEGINNING))


@given(NAMES, DELIMITERS, st.booleans(), PAIRS)
def test_pairs_of_any_bytes_come_back(
    name: FormatName, delimiter: str | None, header: bool, pairs: list[tuple[bytes, bytes, int]]
) -> None:
    columns = Columns(None, header, delimiter)
    encode = open_format(name, None, columns).encode
    found = records(name, b"".join(encode(*pair) for pair in pairs), None, columns)
    assert [(r.key, r.value, r.expires_at_ms) for r in found if isinstance(r, Record)] == pairs
    assert len(found) == len(pairs)


@given(NAMES, DELIMITERS, st.booleans(), PAIRS)
def test_two_columns_hold_any_bytes(
    name: FormatName, delimiter: str | None, header: bool, pairs: list[tuple[bytes, bytes, int]]
) -> None:
    columns = Columns("2", header, delimiter)
    encode = open_format(name, "1", columns).encode
    found = records(name, b"".join(encode(*pair) for pair in pairs), "1", columns)
    assert [(r.key, r.value) for r in found if isinstance(r, Record)] == [pair[:2] for pair in pairs]


@given(NAMES, st.booleans(), st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[TEXTS] * n))))
def test_rows_of_others_come_back(name: FormatName, header: bool, rows: list[tuple[str, ...]]) -> None:
    """Written by Python's csv, stored as JSON, written by us, and read by Python's csv."""
    delimiter = "," if name == "csv" else "\t"
    names = [str(number + 1) for number in range(len(rows[0]) if rows else 1)]
    wanted = [row for row in rows if row[0]]
    given_, columns = io.StringIO(newline=""), Columns(header=header)
    csv.writer(given_, delimiter=delimiter).writerows([names, *wanted] if header else wanted)
    found = records(name, given_.getvalue().encode(), "1", columns)
    encode = open_format(name, "1", columns).encode
    written = [encode(r.key, r.value, 0).decode() for r in found if isinstance(r, Record)]
    stored = [json.loads(r.value) for r in found if isinstance(r, Record)]
    assert [tuple(row.values() if header else row) for row in stored] == wanted
    back = list(csv.reader(io.StringIO("".join(written), newline=""), delimiter=delimiter, strict=True))
    assert [tuple(row) for row in back] == ([tuple(names)] if header and wanted else []) + wanted


@given(st.binary(max_size=200), NAMES, st.sampled_from([None, "1"]), st.booleans())
def test_any_bytes_are_read_to_their_end(
    content: bytes, name: FormatName, key: str | None, header: bool
) -> None:
    try:
        found = records(name, content, key, Columns(header=header))
    except BadFile:
        return
    ends = [record.end.offset for record in found]
    assert ends == sorted(ends) and all(end <= len(content) for end in ends)


@given(PAIRS.filter(bool), st.booleans(), st.data())
def test_reading_goes_on_from_the_end_of_any_row(
    pairs: list[tuple[bytes, bytes, int]], header: bool, data: st.DataObject
) -> None:
    form = open_format("csv", None, Columns(header=header))
    content = b"".join(form.encode(*pair) for pair in pairs)
    whole = list(form.read(io.BytesIO(content), BEGINNING))
    middle = data.draw(st.sampled_from(whole)).end
    stream = io.BytesIO(content)
    stream.seek(middle.offset)
    assert list(form.read(stream, middle)) == [one for one in whole if one.end.offset > middle.offset]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"key,value\na\nz,\n", 2, "1 cells, where 2"),
        (b"key,value\na,b,c\nz,\n", 2, "3 cells, where 2"),
        (b'key,value\nx,"1\n2"\n"a"b,c\nz,\n', 4, "no row"),
        (b"key,value\n,v\nz,\n", 2, "key is empty"),
        (b"key,value,encoding\nYQ,YQ==,base64\nz,,\n", 2, "not base64"),
        (b"key,value,encoding\na,b,rot13\nz,,\n", 2, "neither utf-8 nor base64"),
        (b"key,value,encoding,expires_at_ms\na,b,,soon\nz,,,\n", 2, "expires_at_ms"),
    ],
)
def test_a_row_that_is_wrong_is_named(content: bytes, line: int, reason: str) -> None:
    *_, bad, last = records("csv", content)
    assert isinstance(bad, Rejected) and bad.line == line and reason in bad.reason
    assert isinstance(last, Record) and last.key == b"z"


def test_a_cell_that_is_not_closed_ends_with_the_file() -> None:
    (bad,) = records("csv", b'key,value\na,"b\nc\n')
    assert isinstance(bad, Rejected) and bad.line == 2 and "end of data" in bad.reason


@pytest.mark.parametrize(
    ("name", "key", "columns", "content", "reason"),
    [
        ("csv", "id", Columns(), b"a,b\n1,2\n", "no column 'id': there are 'a', 'b'"),
        ("csv", None, Columns(), b"a,b\n1,2\n", "--key-column"),
        ("csv", "a", Columns(), b"a,a\n1,2\n", "twice"),
        ("csv", "a", Columns(), b"\xff,a\n1,2\n", "not UTF-8"),
        ("csv", None, Columns("v"), b"", "name it, too"),
        ("csv", "v", Columns("v"), b"", "cannot be"),
        ("csv", None, Columns(delimiter="ab"), b"", "no delimiter"),
        ("jsonl", None, Columns("v"), b"", "no columns"),
    ],
)
def test_a_file_that_is_wrong_is_refused(
    name: FormatName, key: str | None, columns: Columns, content: bytes, reason: str
) -> None:
    with pytest.raises(BadFile, match=reason):
        records(name, content, key, columns)


def test_a_value_that_is_no_row_is_refused() -> None:
    encode = open_format("csv", "id").encode
    assert encode(b"7", b'{"id": "7", "b": ""}', 0) == b"id,b\r\n7,\r\n"
    for value in (
        b"text",
        b"[]",
        b'{"id": 7}',
        b'{"id": "7"}',
        b'{"id":"7","b":""}',
        b'{"id": "8", "b": ""}',
    ):
        with pytest.raises(NotExpressible):
            encode(b"7", value, 0)


def test_a_table_goes_in_and_comes_out(aidb: Command, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(b'id,name\r\ncsv-1,"a, b"\r\ncsv-2,\r\n')
    table = ("--format", "csv", "--key-column", "id")
    assert aidb.document("import", source, *table)["records"] == 2
    assert json.loads(aidb("get", "csv-1")) == {"id": "csv-1", "name": "a, b"}
    aidb("export", target, *table, "--prefix", "csv-", "--ordered")
    assert target.read_bytes() == source.read_bytes()
    source.write_bytes(b"id\tname\ncsv-3\tx\n")
    aidb("import", source, "--format", "tsv", "--key-column", "id", "--value-column", "name")
    assert aidb("get", "csv-3") == b"x"


def test_nothing_of_a_bad_table_is_written(aidb: Command, tmp_path: Path) -> None:
    content = b"key,value\nbad-1,v\nbad-2\nbad-3,v\n"
    for words in (("-",), (tmp_path / "bad.csv",)):
        (tmp_path / "bad.csv").write_bytes(content)
        said = aidb.refused("import", *words, "--format", "csv", code=2, content=content)
        assert "line 3: the row has 1 cells" in said and "1 rows are bad, nothing was written" in said
        assert aidb("scan", "--prefix", "bad-") == b""
    said = aidb.refused("import", "-", "--format", "csv", "--skip-bad", code=6, content=content)
    assert "1 records were rejected" in said
    assert len(aidb("scan", "--prefix", "bad-").splitlines()) == 2
    assert "no column" in aidb.refused(
        "import", "-", "--format", "csv", "--key", "x", code=2, content=content
    )
    jsonl = ("import", "-", "--no-header")
    assert "no columns" in aidb.refused(*jsonl, code=2)
