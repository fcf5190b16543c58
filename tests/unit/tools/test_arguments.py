"""Options of derived commands: every value of every declared type can be written, and what cannot is named."""

from __future__ import annotations

import json
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from chain_spec import plugins
from chain_spec.presets import STANDARD_MODULES
from runtime.errors import UsageError
from runtime.module import CallInfo, Field, QueryInfo
from runtime.testing.strategies import from_type
from runtime.types import I64, U8, U16, U32, U64, U128, AccountId, Denom, Hash, MaxLen, Name, Struct
from tools.cli.app import app
from tools.cli.arguments import RESERVED, gather, option_name, options, typed
from tools.cli.groups import first_sentence

PREFIX = "xyz"
Text = Annotated[str, MaxLen(12)]


class Colour(IntEnum):
    RED = 0
    GREEN = 7


class Point(Struct):
    x: I64
    y: U128


class Circle(Struct, tag=0):
    centre: Point
    radius: U8


class Square(Struct, tag=1):
    corner: Point
    maybe: Text | None


TYPES: list[Any] = [
    *(U8, U16, U32, U64, U128, I64, bool, Text, Annotated[bytes, MaxLen(20)], AccountId, Hash, Name, Denom, Colour),
    *(U8 | None, AccountId | None, Text | None, Point | None, tuple[U8, U128], Annotated[tuple[U16, ...], MaxLen(5)]),
    *(
        Annotated[tuple[Text, ...], MaxLen(5)],
        Point,
        Circle | Square,
        Annotated[tuple[Circle | Square, ...], MaxLen(3)],
    ),
]
VERBS: list[CallInfo | QueryInfo] = [
    info
    for module in STANDARD_MODULES
    for group in (plugins.load(module).metadata().calls, plugins.load(module).metadata().queries)
    for info in group.values()
]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file that examples overwrite."""
    return tmp_path_factory.mktemp("arguments") / "arguments.json"


def record_of(declared: Any) -> tuple[Any, tuple[Field, ...]]:
    """A record with one argument of this type."""
    made = msgspec.defstruct("Arguments", [("value", declared)], bases=(Struct,))
    return made, (Field("value", declared, "T"),)


def as_options(record: Any, fields: tuple[Field, ...]) -> list[str]:
    """What a person writes: texts as they are, everything else as JSON; None is left out."""
    shown = TypeAdapter(type(record)).dump_python(record, mode="json", context={"prefix": PREFIX})
    written: list[str] = []
    for field in fields:
        value = shown[field.name]
        if value is not None:
            written += [option_name(field.name), value if isinstance(value, str) else json.dumps(value)]
    return written


def read(record: type[Struct], fields: tuple[Field, ...], written: list[str], file: Path | None = None) -> Any:
    """What the command would make of it, parsed by click as the command line is."""
    given: dict[str, Any] = {}
    command = click.Command("test", params=options(fields), callback=lambda **values: given.update(values))
    command.main(written, standalone_mode=False)
    return typed(record, gather(fields, given, file), PREFIX)


@given(st.sampled_from(TYPES).flatmap(lambda declared: st.tuples(st.just(declared), from_type(declared))))
def test_every_value_of_every_type_can_be_written(case: tuple[Any, Any]) -> None:
    declared, value = case
    record, fields = record_of(declared)
    made = record(value)
    assert read(record, fields, as_options(made, fields)) == made


@given(st.sampled_from(VERBS).flatmap(lambda info: st.tuples(st.just(info), from_type(info.arguments))))
def test_every_call_and_query_of_the_standard_modules_can_be_written(case: tuple[Any, Any]) -> None:
    info, record = case
    assert read(info.arguments, info.fields, as_options(record, info.fields)) == record


@given(st.sampled_from(VERBS).flatmap(lambda info: st.tuples(st.just(info), from_type(info.arguments))))
def test_a_file_of_arguments_says_the_same(scratch: Path, case: tuple[Any, Any]) -> None:
    info, record = case
    scratch.write_bytes(TypeAdapter(info.arguments).dump_json(record, context={"prefix": PREFIX}))
    assert read(info.arguments, info.fields, [], scratch) == record


@pytest.mark.parametrize("text", ["123", "-1", "true", "null", "[", '"', "{}", "", "--", "0x"])
def test_a_text_is_taken_as_it_stands(text: str) -> None:
    record, fields = record_of(Text)
    assert read(record, fields, ["--value", text]).value == text


def test_options_win_over_the_file_and_the_rest_comes_from_it(tmp_path: Path) -> None:
    record: Any = msgspec.defstruct("Arguments", [("one", U8), ("two", U8)], bases=(Struct,))
    fields = (Field("one", U8, "U8"), Field("two", U8, "U8"))
    file = tmp_path / "arguments.json"
    file.write_text('{"one": 1, "two": 2}')
    assert read(record, fields, ["--two", "7"], file) == record(1, 7)


def test_no_argument_hides_an_option_of_the_command() -> None:
    fields = tuple(Field(name, U8, "U8") for name in (*sorted(RESERVED), "argument_key", "amount"))
    names = [name for option in options(fields) for name in option.opts]
    assert len(names) == len(set(names)) == len(fields)
    assert not {f"--{name.replace('_', '-')}" for name in RESERVED} & set(names)
    assert "--amount" in names


def commands_under(command: click.Command, context: click.Context) -> list[tuple[str, click.Command]]:
    """A command and all below it, each with its path."""
    found = [(context.command_path, command)]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            found += commands_under(inner, click.Context(inner, parent=context, info_name=name))
    return found


COMMANDS = dict(commands_under(app, click.Context(app, info_name="armillary")))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_has_help_and_a_name_of_its_own(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    assert not first_sentence(command.help).endswith((".", ","))
    names = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    assert len(names) == len(set(names))
    for option in command.params:
        if isinstance(option, click.Option) and not str(option.name).startswith("argument_"):
            assert option.help, f"{path} {option.opts[0]} says nothing of itself"


def test_the_reserved_names_are_the_options_of_tx_and_query() -> None:
    shared = {
        name.removeprefix("--").replace("-", "_")
        for path in ("armillary tx tokens transfer", "armillary query tokens balance_of")
        for option in COMMANDS[path].params
        if not str(option.name).startswith("argument_")
        for name in option.opts
    }
    assert shared | {"help"} == RESERVED


@pytest.mark.parametrize(
    ("declared", "text", "words"),
    [
        (U8, "256", "--value: 256 is outside 0 to 255; found '256'"),
        (U8, "1.5", "--value: .* valid integer; found '1.5'"),
        (U8, "", "--value: "),
        (U128, str(1 << 128), "is outside 0 to"),
        (I64, "-9223372036854775809", "is outside -9223372036854775808"),
        (Hash, "00", "--value: expected 32 bytes in lower-case hex; found '00'"),
        (Hash, "0G" * 32, "lower-case hex"),
        (AccountId, "arm1x", "--value: the address is of prefix 'arm', this chain's is 'xyz'"),
        (AccountId, "nonsense", "lacks the separator"),
        (Denom, "ARM", r"--value: 'ARM' is not of the form \[a-z\]"),
        (Text, "much too long a text", "--value: length 20 is above 12"),
        (bool, "maybe", "--value: 'maybe' is not JSON of the form true|false"),
        (bool, "3", "--value: "),
        (Colour, "3", "--value: "),
        (Colour, "GREEN", "0 RED, 7 GREEN"),
        (Point, "{", '--value: \'{\' is not JSON of the form {"x": NUMBER, "y": NUMBER}'),
        (Point, '{"x": 1}', "--value.y: Field required"),
        (Point, '{"x": 1, "y": 2, "z": 3}', "--value.z: Extra inputs are not permitted"),
        (Point, '{"x": 1.0, "y": 2}', "--value.x: .*integer; found '1.0'"),
        (Point, "[" * 10_000, "not JSON"),
        (Annotated[tuple[U16, ...], MaxLen(2)], "[1, 2, 3]", "--value: length 3 is above 2"),
        (Annotated[tuple[U16, ...], MaxLen(2)], "[1, 70000]", "--value.1: 70000 is outside"),
    ],
)
def test_invalid_text_is_named_with_its_option(declared: Any, text: str, words: str) -> None:
    record, fields = record_of(declared)
    with pytest.raises(UsageError, match=words.replace("{", r"\{").replace("|", r"\|")) as caught:
        read(record, fields, ["--value", text])
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_invalid_missing_arguments_are_all_named() -> None:
    fields = (Field("one", U8, "U8"), Field("key", U8, "U8"), Field("maybe", U8 | None, "U8 | None"))
    with pytest.raises(UsageError, match=r"missing --one, --argument-key; each"):
        gather(fields, {}, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1]", "a JSON object"),
        (b'{"value": 1, "value": 2}', "'value' is there twice"),
        (b'{"other": 1}', "there is no argument 'other'; it takes value"),
        (b"[" * 100_000, "not JSON"),
        (b" " * (8 * 1024 * 1024 + 1), "more than 8,388,608 bytes"),
    ],
)
def test_invalid_files_of_arguments_are_named(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "arguments.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        gather((Field("value", U8, "U8"),), {}, file)
    assert str(file) in str(caught.value)


def test_invalid_file_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match=str(path)):
            gather((), {}, path)
