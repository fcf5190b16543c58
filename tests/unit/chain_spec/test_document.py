"""From bytes to a JSON document: what is no JSON is named by line and column, what is no value by its path."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_spec import SpecError, parse_chain, parse_spec
from chain_spec.document import read_document, shown, step

BYTES_MAX = 10_000
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=4)


@given(objects)
def test_every_json_object_is_read_as_it_is(document: dict[str, object]) -> None:
    assert read_document(json.dumps(document).encode(), 1 << 20) == (document, [])


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0e-\\unN"tf ', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_path(data: bytes) -> None:
    for parse in (parse_spec, parse_chain):
        with pytest.raises(SpecError) as caught:
            parse(data)
        assert all(problem.path.startswith("$") and problem.reason for problem in caught.value.problems)


@given(objects, st.data())
def test_invalid_key_twice_is_named_by_its_path(document: dict[str, object], data: st.DataObject) -> None:
    key = data.draw(texts)
    inner = f'{{{json.dumps(key)}: 1, "other": 2, {json.dumps(key)}: 3}}'
    body = json.dumps(document | {"here": 0}).replace('"here": 0', f'"here": [{inner}]')
    twice = {"other"} & {key} or {key}
    found = {problem.path for problem in read_document(body.encode(), 1 << 20)[1]}
    assert found == {step("$.here[0]", each) for each in twice}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "line 1, column 1: Expecting value"),
        (b'{\n  "name": "a",\n  "modules" []\n}', "line 3, column 13: Expecting ':' delimiter"),
        (b'{"a": 1,}', "line 1, column 9: "),
        (b'{\n"a": "\xff"}', "line 2, column 7: the byte 0xff is no UTF-8"),
        (b"\xff\xfe{\x00}\x00", "line 1, column 1: the byte 0xff is no UTF-8"),
        (b"[" * 100_000, "nests deeper than 64"),
    ],
)
def test_invalid_json_is_named_by_line_and_column(text: bytes, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_document(text, 1 << 20)
    assert caught.value.path == "$"
    assert caught.value.reason.startswith("not JSON: ")
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        (b"[]", "$", "a JSON object {...} is expected, found []"),
        (b'"text"', "$", 'found "text"'),
        (b'{"a": [NaN]}', "$.a[0]", "NaN is no number"),
        (b'{"a": -Infinity}', "$.a", "-Infinity is no number"),
        (b'{"a": 1e999}', "$.a", "1e999 is no number"),
        (b'{"a": ' + b"9" * 81 + b"}", "$.a", "99999999999999999999 is no number"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "$.a", "99999999999999999999 is no number"),
        (b'{"a b": "\\ud800"}', '$["a b"]', "half a character"),
        (b'{"\\ud800": 1}', "$", "half a character"),
        (b'{"a": ' * 65 + b"1" + b"}" * 65, "$" + ".a" * 64, "nests deeper than 64"),
        (b" " * (BYTES_MAX * 2), "$", "20,000 bytes; at most 10,050 are allowed"),
    ],
)
def test_invalid_values_are_named_by_their_path(text: bytes, path: str, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_document(text, BYTES_MAX + 50)
    assert caught.value.path == path
    assert reason in caught.value.reason


def test_invalid_values_are_all_named_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        read_document(b'{"a": NaN, "b": [1, "\\ud800"], "c": 1, "c": 2}', 1_000)
    assert [problem.path for problem in caught.value.problems] == ["$.a", "$.b[1]", "$.c"]


def test_what_is_shown_of_a_value_is_short() -> None:
    assert shown("x" * 1_000).endswith("...")
    assert [shown(value) for value in ({}, {"a": 1}, [], [1], None, True)] == [
        "{}",
        "{...}",
        "[]",
        "[...]",
        "null",
        "true",
    ]
