"""All that is wrong with a spec is said at once: each with its path, the reason and the mend."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_spec import Problem, SpecError, parse_chain, parse_spec, plugins, resolve
from chain_spec.errors import PROBLEMS_SHOWN_MAX, refuse
from chain_spec.fitting import no_validators
from chain_spec.presets import check_modules, make_spec
from chain_spec.start import start_in_memory
from runtime.bech32m import encode_address
from runtime.limits import VOTING_POWER_TOTAL_MAX
from runtime.types import AccountId

Document = Callable[[], dict[str, Any]]
MINE = encode_address(AccountId(b"\7" * 32))
THEIRS = encode_address(AccountId(b"\7" * 32), "xyz")


def section(made: dict[str, Any], module: str, name: str) -> Any:
    return next(entry for entry in made["modules"] if entry["name"] == module)[name]


def founders(made: dict[str, Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = section(made, "validators", "genesis")["validators"]
    return listed


def held(made: dict[str, Any]) -> dict[str, Any]:
    balances: dict[str, dict[str, Any]] = section(made, "tokens", "genesis")["balances"]
    return balances.setdefault(MINE, {})


def found(made: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        parse_chain(json.dumps(made).encode())
    return caught.value.problems


def patience(**change: object) -> Callable[[dict[str, Any]], object]:
    return lambda made: made["consensus"].update(change)


def founder(place: int, **change: object) -> Callable[[dict[str, Any]], object]:
    return lambda made: founders(made)[place].update(change)


class Mistake(NamedTuple):
    """A change that breaks a spec at one place, and what must be said of it."""

    change: Callable[[dict[str, Any]], object]
    path: str
    words: str


ANYTHING = [None, True, -1, 0, 1, 1.5, 1 << 64, 1 << 140, "", "x", "01", "1", MINE, MINE.upper(), THEIRS, [], [1], {},
            {"x": 1}, {MINE: {"arm": "1"}}, "arm", "tokens", "governance", str((1 << 128) - 1), 1 << 60]  # fmt: skip
BALANCES = "$.modules[1].genesis.balances"
VALIDATORS = "$.modules[4].genesis.validators"
MISTAKES = [
    # of the envelope
    Mistake(lambda made: made.update(nmae="x"), "$.nmae", "no such field; did you mean 'name'?"),
    Mistake(lambda made: made.update({"9 lives": 1}), '$["9 lives"]', "no such field; remove it; there is spec"),
    Mistake(lambda made: made.pop("genesis_time_ms"), "$.genesis_time_ms", "missing; add it: a whole number, 0 to"),
    Mistake(lambda made: made.update(name="Upper"), "$.name", "'Upper' is not of the form [a-z][a-z0-9_]*"),
    Mistake(lambda made: made.update(spec_version=2), "$.spec_version", "found 2; write 1"),
    Mistake(lambda made: made.update(bootnodes="x"), "$.bootnodes", 'found "x"; write a list [...]'),
    Mistake(patience(timeout_vote_ms=-1), "$.consensus.timeout_vote_ms", "-1 is outside 0"),
    Mistake(patience(message_delay_ms=1.5), "$.consensus.message_delay_ms", "found 1.5; write"),
    Mistake(patience(clock_precision_ms=True), "$.consensus.clock_precision_ms", "found true"),
    Mistake(lambda made: made["runtime"].update(fee_unit=1), "$.runtime.fee_unit", "did you mean 'fee_units'?"),
    Mistake(lambda made: made["roles"].update(feees="tokens"), "$.roles.feees", "did you mean 'fees'?"),
    # of one module
    Mistake(lambda made: made["modules"][0].update(digest="00"), "$.modules[0].digest", "32 bytes in lower-case hex"),
    Mistake(lambda made: made["modules"][5].update(genesis=[]), "$.modules[5].genesis", "found []; write an object"),
    Mistake(lambda made: made["modules"][3].update(params={"x": 1}), "$.modules[3].params", "takes none; remove x"),
    Mistake(lambda made: made["modules"][2].update(version=77), "$.modules[2].version", "pins version 77, installed"),
    Mistake(
        lambda made: section(made, "tokens", "params").update(fee_denoms="arm"),
        "$.modules[1].params.fee_denoms", "did you mean 'fee_denom'?",
    ),
    Mistake(
        lambda made: section(made, "tokens", "params").update(fee_denom="!"),
        "$.modules[1].params.fee_denom", "'!' is not of the form",
    ),
    Mistake(
        lambda made: section(made, "tokens", "params").update(fee_collector=THEIRS),
        "$.modules[1].params.fee_collector", "the address is of prefix 'xyz', this chain's is 'arm'",
    ),
    Mistake(
        lambda made: section(made, "tokens", "genesis")["balances"].update({"arm1x": {}}),
        f"{BALANCES}.arm1x", "as a key: the address' checksum is wrong",
    ),
    Mistake(
        lambda made: held(made).update({"arm": "-1"}),
        f"{BALANCES}.{MINE}.arm", "-1 is outside 0 to",
    ),
    Mistake(
        lambda made: held(made).update({"a/b": "x"}),
        f'{BALANCES}.{MINE}["a/b"]', 'found "x"; write a whole number in decimal digits',
    ),
    Mistake(
        lambda made: section(made, "tokens", "genesis")["balances"].update({MINE.upper(): {"arm": "1"}}),
        f"{BALANCES}.{MINE.upper()}", "as a key: write the address in small letters",
    ),
    Mistake(founder(0, power="x"), f"{VALIDATORS}[0].power", 'found "x"; write a whole'),
    Mistake(lambda made: founders(made)[1].pop("peer"), f"{VALIDATORS}[1].peer", "field is missing; add it: a text"),
    Mistake(founder(2, peer="x"), f"{VALIDATORS}[2].peer", "'x' is not of the form 12D3KooW"),
    Mistake(founder(3, pear=1), f"{VALIDATORS}[3].pear", "did you mean 'peer'?"),
]  # fmt: skip


@given(st.lists(st.sampled_from(MISTAKES), min_size=1, max_size=6, unique_by=lambda mistake: mistake.path))
def test_every_mistake_is_named_beside_the_others(document: Document, mistakes: list[Mistake]) -> None:
    made = document()
    for mistake in mistakes:
        mistake.change(made)
    problems = found(made)
    for mistake in mistakes:
        if any(mistake.path.startswith(f"{other.path}.") for other in mistakes):
            continue  # it was inside of what is no object any more
        said = [problem.reason for problem in problems if problem.path == mistake.path]
        assert any(mistake.words in reason for reason in said), (mistake.path, problems)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.path)
def test_invalid_fields_are_named_once_and_alone(document: Document, mistake: Mistake) -> None:
    made = document()
    mistake.change(made)
    problems = found(made)
    assert [problem.path for problem in problems] == [mistake.path]
    assert mistake.words in problems[0].reason


def test_invalid_key_twice_stands_beside_the_other_mistakes(document: Document) -> None:
    made = document() | {"nmae": "x"}
    text = json.dumps(made).replace('"fee_units":', '"fee_units": 1, "fee_units":', 1)
    with pytest.raises(SpecError) as caught:
        parse_chain(text.encode())
    assert {problem.path for problem in caught.value.problems} == {"$.runtime.fee_units", "$.nmae"}
    assert "there is twice" not in str(caught.value)
    assert "$.runtime.fee_units: the key is there twice in one object; remove one" in str(caught.value)


def power(made: dict[str, Any], *powers: int) -> None:
    for each, value in zip(founders(made), powers, strict=False):
        each["power"] = value


def same(made: dict[str, Any], name: str) -> None:
    founders(made)[3][name] = founders(made)[1][name]


FITTING = [
    Mistake(lambda made: made.update(bootnodes=["x"]), "$.bootnodes[0]", "expected /ip4/HOST/tcp/PORT/p2p/PEERID"),
    Mistake(lambda made: made["roles"].update(auth="acounts"), "$.roles.auth", "did you mean 'accounts'?"),
    Mistake(lambda made: made["roles"].update(auth="tokens"), "$.roles.auth", "bind another module"),
    Mistake(lambda made: made["roles"].update(fees="accounts"), "$.roles.fees", "(FeeLedger asks for it)"),
    Mistake(lambda made: made["roles"].update(governance=None), "$.roles.governance", "would run calls as Root"),
    Mistake(lambda made: made["roles"].update(governance="tokens"), "$.roles.governance", "runs no calls as Root"),
    Mistake(lambda made: made["roles"].update(fees=None), "$.runtime.fee_units", "1 is outside of what this chain"),
    Mistake(lambda made: made["runtime"].update(fee_per_gas=0), "$.runtime.fee_per_gas", "can have, 1 to"),
    Mistake(lambda made: made["runtime"].update(block_bytes_max=1), "$.runtime.block_bytes_max", "1 is outside"),
    Mistake(patience(timeout_ms_max=1), "$.runtime.block_gas_max", "raise that one"),
    Mistake(lambda made: made["modules"][0].update(name="acounts"), "$.modules[0].name", "did you mean 'accounts'?"),
    Mistake(lambda made: made["modules"][0].update(name="zzz"), "$.modules[0].name", "install the package that"),
    Mistake(lambda made: made["modules"].append(made["modules"][0]), "$.modules[6].name", "is there twice; remove one"),
    Mistake(lambda made: made["modules"].pop(2), "$.modules[2].name", "no module of this chain provides it"),
    Mistake(lambda made: same(made, "public_key"), f"{VALIDATORS}[3].public_key", "that of validators[1] already"),
    Mistake(lambda made: same(made, "operator"), f"{VALIDATORS}[3].operator", "that of validators[1] already"),
    Mistake(lambda made: same(made, "peer"), f"{VALIDATORS}[3].peer", "that of validators[1] already"),
    Mistake(lambda made: power(made, 1, 0), f"{VALIDATORS}[1].power", "above 0; write 1 or more"),
    Mistake(lambda made: power(made, VOTING_POWER_TOTAL_MAX), VALIDATORS, "all voting power together is"),
    Mistake(
        lambda made: section(made, "tokens", "genesis")["balances"].update({MINE: {"arm": str((1 << 128) - 1)}}),
        BALANCES, "the supply of arm would be",
    ),
]  # fmt: skip


@pytest.mark.parametrize("mistake", FITTING, ids=lambda mistake: f"{mistake.path} {mistake.words}")
def test_invalid_parts_that_do_not_fit(document: Document, mistake: Mistake) -> None:
    made = document()
    mistake.change(made)
    said = [problem.reason for problem in found(made) if problem.path == mistake.path]
    assert any(mistake.words in reason for reason in said), found(made)


def test_all_that_does_not_fit_is_said_together(document: Document) -> None:
    made = document()
    made["roles"].update(auth="tokens", fees="nobody")
    for name in ("public_key", "operator", "peer"):
        same(made, name)
    power(made, 0, 0)
    paths = [problem.path for problem in found(made)]
    assert paths == [
        "$.roles.auth", "$.roles.fees", f"{VALIDATORS}[0].power", f"{VALIDATORS}[1].power",
        f"{VALIDATORS}[3].public_key", f"{VALIDATORS}[3].operator", f"{VALIDATORS}[3].peer",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ({"type": "ManyKeys", "threshold": 300, "public_keys": ["00"]}, "threshold", "300 is outside 0 to 255"),
        ({"type": "ManyKeys", "threshold": 1, "public_keys": [], "key": 1}, "key", "no such field"),
        ({"type": "TwoKeys"}, "type", 'found "TwoKeys"; write one of OneKey, ManyKeys'),
        ({}, "type", "found null; write one of OneKey, ManyKeys"),
        ("key", "", 'found "key"; write an object with a type: OneKey, ManyKeys'),
    ],
)
def test_invalid_records_are_judged_as_what_their_type_says(
    document: Document, rule: Any, path: str, words: str
) -> None:
    made = document()
    section(made, "accounts", "genesis")["rules"] = {MINE: rule}
    problems = {problem.path: problem.reason for problem in found(made)}
    where = f"$.modules[0].genesis.rules.{MINE}"
    assert words in problems[f"{where}.{path}" if path else where]
    assert all("OneKey" in reason or "function" not in reason for reason in problems.values())
    assert len(problems) == (2 if path == "threshold" else 1)


def test_invalid_genesis_that_a_module_refuses_itself(document: Document) -> None:
    made = document()
    rule = {"type": "ManyKeys", "threshold": 3, "public_keys": ["00" * 32]}
    section(made, "accounts", "genesis")["rules"] = {MINE: rule}
    chain = parse_chain(json.dumps(made).encode())[1]
    with pytest.raises(SpecError) as caught:
        start_in_memory(chain)
    assert caught.value.path == "$.modules[0].genesis"
    assert "BadRule" in caught.value.reason


def test_invalid_params_that_a_module_refuses_itself(document: Document) -> None:
    made = document()
    section(made, "governance", "params")["deposit_denom"] = "gold"
    chain = parse_chain(json.dumps(made).encode())[1]
    with pytest.raises(SpecError) as caught:
        start_in_memory(chain)
    assert caught.value.path == "$.modules[5].params"


def test_a_draft_resolves_and_lacks_its_validators(document: Document) -> None:
    made = document()
    assert no_validators(parse_spec(json.dumps(made).encode())) == []
    founders(made).clear()
    spec, _ = parse_chain(json.dumps(made).encode())
    assert [problem.path for problem in no_validators(spec)] == [VALIDATORS]


def test_invalid_prefix_is_said_once_not_for_every_address(document: Document) -> None:
    made = document() | {"address_prefix": "1"}
    assert [problem.path for problem in found(made)] == ["$.address_prefix"]


def test_invalid_envelope_hides_no_mistake_of_a_module(document: Document) -> None:
    made = document()
    made["modules"][0] = 7
    section = made["modules"][1]["params"]
    section["fee_denom"] = 3
    assert {problem.path for problem in found(made)} == {"$.modules[0]", "$.modules[1].params.fee_denom"}


def test_invalid_envelope_hides_no_mistake_of_what_fits_together(document: Document) -> None:
    made = document() | {"nmae": 1}
    made["roles"].update(auth="tokens", fees="nobody")
    same(made, "peer")
    assert [problem.path for problem in found(made)] == [
        "$.nmae", "$.roles.auth", "$.roles.fees", f"{VALIDATORS}[3].peer",
    ]  # fmt: skip


@given(st.data())
def test_whatever_is_written_is_read_or_refused_with_paths(document: Document, data: st.DataObject) -> None:
    """Reading is total, and so is starting what was read; no sentence is pydantic's own."""
    made = document()
    for _ in range(data.draw(st.integers(1, 3))):
        target: Any = made
        while isinstance(target, dict | list) and target:
            keys: list[Any] = list(target) if isinstance(target, dict) else list(range(len(target)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(target[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
                target[key] = copy.deepcopy(data.draw(st.sampled_from(ANYTHING)))
                break
            target = target[key]
    try:
        start_in_memory(parse_chain(json.dumps(made).encode())[1])
    except SpecError as error:
        for problem in error.problems:
            assert problem.path.startswith("$")
            assert "Input" not in problem.reason
            assert "function" not in problem.reason


def test_resolving_says_all_as_well(document: Document) -> None:
    made = document()
    made["modules"][0].update(version=77)
    made["modules"][3].update(params={"x": 1})
    spec = parse_spec(json.dumps(made).encode())
    with pytest.raises(SpecError) as caught:
        resolve(spec)
    assert [problem.path for problem in caught.value.problems] == ["$.modules[0].version", "$.modules[3].params"]


def test_an_error_is_one_line_or_a_list() -> None:
    assert str(SpecError("$.a", "is wrong")) == "$.a: is wrong"
    assert str(SpecError("$.a", "is wrong", Problem("$.b", "too"))) == "2 errors\n  $.a: is wrong\n  $.b: too"
    many = [Problem(f"$.a[{place}]", "wrong") for place in range(PROBLEMS_SHOWN_MAX + 5)]
    with pytest.raises(SpecError) as caught:
        refuse([*many, *many])
    assert str(caught.value).endswith("and 5 more")
    assert len(caught.value.problems) == len(many)
    refuse([])


def test_invalid_modules_of_a_preset() -> None:
    with pytest.raises(SpecError, match=r"--module: no installed package offers the module 'nosuch'"):
        check_modules(["nosuch"], "--module")
    with pytest.raises(SpecError, match=r"--module: the module 'tokens' is composed already"):
        check_modules(["tokens"], "--module")
    with pytest.raises(SpecError, match=r"^\$\.address_prefix: 'Bad!' is not"):
        make_spec("testing", [], {}, prefix="Bad!")
    with pytest.raises(SpecError, match=r"^\$\.name: 'Bad Name' is not"):
        make_spec("Bad Name", [], {})


class Point:
    """An entry point, as far as loading asks for one."""

    def __init__(self, name: str, result: object) -> None:
        self.name, self.value, self.result = name, f"package:{name}", result

    def load(self) -> object:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (ImportError("no such thing"), "cannot be loaded from package:mine: ImportError: no such thing"),
        (SyntaxError("what"), "cannot be loaded from package:mine: SyntaxError: what"),
        (int, "package:mine is no runtime.Module"),
        (plugins.load("tokens"), "calls itself 'tokens', its entry point says 'mine'"),
    ],
)
def test_invalid_plugins_are_named(result: object, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "installed", lambda: {"mine": Point("mine", result)})
    with pytest.raises(SpecError) as caught:
        plugins.load("mine", "$.modules[0].name")
    assert caught.value.path == "$.modules[0].name"
    assert words in caught.value.reason


def test_invalid_two_packages_with_one_module(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [Point("mine", int), Point("mine", int)]
    points[1].value = "other:mine"
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    with pytest.raises(SpecError, match="two installed packages offer the module 'mine': other:mine and package:mine"):
        plugins.installed.__wrapped__()
