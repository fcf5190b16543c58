"""Three people found a chain by files: each with keys and a folder of their own, all with one genesis hash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain_spec import read_chain
from chain_spec.start import start_in_memory
from tools.cli import home as home_module
from tools.cli.app import run
from tools.cli.keyring import PASSWORD_FILE_VARIABLE, Keyring

NAMES = ("ann", "bob", "eve")
CHEAP = 1 << 10


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A draft that all three have, and the entry of each, made with keys that only they hold."""
    table = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home_module.make_home, "__kwdefaults__", {"scrypt_n": CHEAP})
        assert run(["spec", "new", "--name", "ours", "--draft", "--out", str(table / "draft.json")]) == 0
        for name in NAMES:
            own = table / name
            own.mkdir()
            (own / "password").write_text(f"secret of {name}\n")
            patch.setenv(PASSWORD_FILE_VARIABLE, str(own / "password"))
            assert run(["init", "--home", str(own / "home"), "--name", name]) == 0
            shutil.copy(table / "draft.json", own / "spec.json")
            entry = ["spec", "entry", str(own / "spec.json"), "--home", str(own / "home"), "--out"]
            assert run([*entry, str(table / f"{name}.json")]) == 0
        patch.setenv(PASSWORD_FILE_VARIABLE, str(table / "ann" / "password"))
        yield table


@pytest.fixture
def spec(people: Path, tmp_path: Path) -> Path:
    """The draft, to be filled."""
    return Path(shutil.copy(people / "draft.json", tmp_path / "spec.json"))


def add(people: Path, spec: Path, *names: str) -> int:
    given = [argument for name in names for argument in ("--validator", str(people / f"{name}.json"))]
    return run(["spec", "add-validator", str(spec), *given])


def operator(people: Path, name: str) -> str:
    return Keyring(people / name / "home").address("operator")


def test_three_people_make_one_chain_of_three_validators(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = {operator(people, name): str(100 + place) for place, name in enumerate(NAMES)}
    hashes = []
    for place, name in enumerate(NAMES):
        own = people / name / "spec.json"
        entries, held = [*NAMES[place:], *NAMES[:place]], [*accounts.items()][:: -1 if place else 1]
        if place == 1:  # one by one, others all at once
            assert [add(people, own, each) for each in entries] == [0, 0, 0]
        for address, amount in held:
            assert run(["spec", "add-account", str(own), address, amount]) == 0
        if place != 1:
            assert add(people, own, *entries) == 0
        capsys.readouterr()
        assert run(["spec", "hash", str(own)]) == 0
        hashes.append(capsys.readouterr().out)
        assert run(["spec", "validate", str(own)]) == 0
        assert capsys.readouterr().out.endswith("6 modules, voting power 30\n")
    assert len(set(hashes)) == 1
    assert len({(people / name / "spec.json").read_bytes() for name in NAMES}) == 1
    application = start_in_memory(read_chain(people / "ann" / "spec.json")[1])
    keys = {Keyring(people / name / "home").public_key("validator") for name in NAMES}
    assert {each.public_key for each in application.validators()} == keys
    for place, name in enumerate(NAMES):
        account = Keyring(people / name / "home").public_key("operator")
        assert application.query("tokens", "balance_of", {"account": account, "denom": "arm"}) == 100 + place


@pytest.mark.parametrize(
    ("amount", "denom", "held"),
    [("7", "arm", "7"), ("1.5ARM", "arm", "1500000000"), ("0.000000001ARM", "arm", "1"), ("3", "gold", "3")],
)
def test_amounts_are_base_units_or_have_the_symbol(
    people: Path, spec: Path, amount: str, denom: str, held: str
) -> None:
    address = operator(people, "ann")
    assert run(["spec", "add-account", str(spec), address, amount, "--denom", denom]) == 0
    assert json.loads(spec.read_text())["modules"][1]["genesis"]["balances"] == {address: {denom: held}}


def test_an_entry_holds_public_things_only(people: Path) -> None:
    made = json.loads((people / "bob.json").read_text())
    assert list(made) == ["entry_version", "chain", "terms", "public_key", "operator", "power", "peer", "signature"]
    assert made["public_key"] == Keyring(people / "bob" / "home").public_key("validator").hex()
    assert made["operator"] == operator(people, "bob")


def test_a_draft_is_shown_as_one(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "show", str(spec)]) == 0
    assert capsys.readouterr().out.endswith("validators none yet: this is a draft\n")


def test_invalid_draft_is_no_chain_yet(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "validate", str(spec)]) == 2
    wanted = (
        "error: $.modules[4].genesis.validators: a chain needs a validator; armillary spec add-validator adds one\n"
    )
    assert capsys.readouterr().err == wanted


def test_invalid_second_time_changes_nothing(people: Path, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(people, spec, "ann", "bob") == 0
    assert run(["spec", "add-account", str(spec), operator(people, "ann"), "5"]) == 0
    before = spec.read_bytes()
    assert add(people, spec, "eve", "bob") == 2
    assert f"{people / 'bob.json'}: $.public_key: the validator " in capsys.readouterr().err
    assert add(people, spec, "eve", "eve") == 2
    assert "is in the spec already" in capsys.readouterr().err
    assert run(["spec", "add-account", str(spec), operator(people, "ann"), "5"]) == 2
    assert "the account holds 5 arm already" in capsys.readouterr().err
    assert spec.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"power": 99}, "$.signature: is not the key's own over this entry"),
        ({"public_key": "11" * 32}, "$.signature: is not the key's own over this entry"),
        ({"terms": "11" * 32}, "$.terms: the entry was made for a draft with the terms 1111"),
        ({"power": "many", "peer": 1}, '2 errors\n  $.power: found "many"; write a whole number'),
        ({"colour": 1}, "$.colour: there is no such field"),
    ],
)
def test_invalid_entry_adds_nobody(
    people: Path, spec: Path, tmp_path: Path, change: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, forged = spec.read_bytes(), tmp_path / "forged.json"
    forged.write_text(json.dumps(json.loads((people / "eve.json").read_text()) | change))
    arguments = ["--validator", str(people / "ann.json"), "--validator", str(forged)]
    assert run(["spec", "add-validator", str(spec), *arguments]) == 2
    assert f"{forged}: {words}" in capsys.readouterr().err
    assert spec.read_bytes() == before


def test_invalid_entry_for_a_draft_that_was_changed(
    people: Path, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = json.loads(spec.read_text())
    changed["runtime"]["fee_units"] = 9
    spec.write_text(json.dumps(changed))
    assert add(people, spec, "ann") == 2
    assert "they differ in something else than founders: make a new entry" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["arm1x", "5"], "ADDRESS 'arm1x': the address' checksum is wrong"),
        (["OTHER", "5"], "the address is of prefix 'xyz', this chain's is 'arm'"),
        (["ANN", "-5"], "no such option"),
        (["ANN", "1.5"], "AMOUNT: '1.5' is no amount: write base units, or like 1.5ARM"),
        (["ANN", "1.5GLD"], "AMOUNT: GLD is not the symbol of arm, which is ARM"),
        (["ANN", "1.0000000001ARM"], "AMOUNT: ARM has at most 9 decimals"),
        (["ANN", "1.5GLD", "--denom", "gold"], "AMOUNT '1.5GLD': write base units; the spec gives 'gold' no symbol"),
        (["ANN", str(1 << 128)], "is outside 0 to"),
        (["ANN", "9" * 40 + "ARM"], "is outside 0 to"),
        (["ANN", "5", "--denom", "Gold!"], "as a key: 'Gold!' is not of the form"),
        (["ANN"], "missing argument 'AMOUNT'"),
    ],
)
def test_invalid_accounts_change_nothing(
    people: Path, spec: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from runtime.bech32m import encode_address

    before, given = spec.read_bytes(), {"ANN": operator(people, "ann"), "OTHER": encode_address(bytes(32), "xyz")}
    assert run(["spec", "add-account", str(spec), *(given.get(each, each) for each in arguments)]) == 2
    assert words in capsys.readouterr().err
    assert spec.read_bytes() == before


@pytest.mark.parametrize(
    ("power", "words"),
    [("0", "0 is not at least 1"), ("x", "is no whole number"), (str(1 << 61), "and at most 1152921504606846976")],
)
def test_invalid_power_makes_no_entry(
    people: Path, tmp_path: Path, power: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "entry.json"
    given = ["--home", str(people / "ann" / "home"), "--power", power, "--out", str(out)]
    assert run(["spec", "entry", str(people / "draft.json"), *given]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_invalid_entry_is_never_overwritten(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (people / "ann.json").read_bytes()
    given = ["--home", str(people / "ann" / "home"), "--out", str(people / "ann.json")]
    assert run(["spec", "entry", str(people / "draft.json"), *given]) == 2
    assert "exists already; an entry is never overwritten" in capsys.readouterr().err
    assert (people / "ann.json").read_bytes() == before


def test_invalid_files_are_named(people: Path, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "add-validator", str(spec), "--validator", str(tmp_path / "none.json")]) == 2
    assert f"{tmp_path / 'none.json'}: cannot be read: No such file or directory; armillary spec entry makes one" in (
        capsys.readouterr().err
    )
    assert add(people, tmp_path / "none.json", "ann") == 2
    assert f"{tmp_path / 'none.json'}: cannot be read" in capsys.readouterr().err
    assert run(["spec", "add-validator", str(spec)]) == 2
    assert "missing option '--validator'" in capsys.readouterr().err
    assert run(["spec", "entry", str(spec), "--home", str(people), "--out", str(tmp_path / "out")]) == 2
    assert "no key 'validator' in" in capsys.readouterr().err


def test_invalid_password_makes_no_entry(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PASSWORD_FILE_VARIABLE, str(people / "bob" / "password"))
    given = ["--home", str(people / "ann" / "home"), "--out", str(tmp_path / "entry.json")]
    assert run(["spec", "entry", str(people / "draft.json"), *given]) == 1
    assert "password does not open" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
