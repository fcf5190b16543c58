"""armillary init and spec: a chain's beginning by hand; every mistake is named and leaves nothing half made."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain_spec import read_spec, resolve
from runtime.bech32m import encode_address
from runtime.network.addresses import PeerAddress
from runtime.network.identity import NetworkKey
from runtime.node.config_file import read_config
from runtime.types import AccountId
from tools.cli import home as home_module
from tools.cli.app import run
from tools.cli.keyring import PASSWORD_FILE_VARIABLE, Keyring

OTHER = AccountId(b"\5" * 32)
CHEAP = 1 << 10


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the homes `a` and `b`, made by the command with cheap keys."""
    folder = tmp_path_factory.mktemp("homes")
    (folder / "password").write_text("secret\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD_FILE_VARIABLE, str(folder / "password"))
        patch.setattr(home_module.make_home, "__kwdefaults__", {"scrypt_n": CHEAP})
        for name in ("a", "b"):
            assert run(["init", "--home", str(folder / name), "--name", name]) == 0
        yield folder


@pytest.fixture
def spec(homes: Path, tmp_path: Path) -> Path:
    """A spec of both homes."""
    out = tmp_path / "spec.json"
    validators = ["--validator", str(homes / "a"), "--validator", str(homes / "b")]
    assert run(["spec", "new", "--name", "mine", *validators, "--out", str(out)]) == 0
    return out


def test_init_makes_a_whole_home_that_only_its_owner_reads(homes: Path) -> None:
    assert read_config(homes / "a").name == "a"
    assert Keyring(homes / "a").names() == ["operator", "validator"]
    for key in (homes / "a" / "keys").iterdir():
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((homes / "a" / "keys").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("listen", "start"),
    [
        ("127.0.0.1:7401", "/ip4/127.0.0.1/tcp/7401/p2p/"),
        ("0.0.0.0:7401", "/ip4/HOST/tcp/7401/p2p/"),
        ("[::]:7401", "/ip6/HOST/tcp/7401/p2p/"),
        ("[::1]:7401", "/ip6/::1/tcp/7401/p2p/"),
        ("node.example:7401", "/dns/node.example/tcp/7401/p2p/"),
    ],
)
def test_init_says_where_peers_reach_the_node(
    homes: Path, tmp_path: Path, listen: str, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "--home", str(tmp_path / "new"), "--listen", listen]) == 0
    lines = dict(line.split(maxsplit=2)[::2] for line in capsys.readouterr().out.splitlines() if "address" in line)
    address = lines["peer"]
    assert address.startswith(start)
    PeerAddress.parse(address.replace("/ip4/HOST", "/ip4/10.0.0.1").replace("/ip6/HOST", "/ip6/::1"))
    assert read_config(tmp_path / "new").network.listen == listen


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "foo"], "--listen 'foo': write HOST:PORT, like 127.0.0.1:7400"),
        (["--listen", "127.0.0.1:70000"], "--listen '127.0.0.1:70000': write HOST:PORT"),
        (["--http", "127.0.0.1"], "--http '127.0.0.1': write HOST:PORT"),
        (["--name", ""], "--name '': write 1 to 64 characters"),
        (["--name", "n" * 65], "write 1 to 64 characters"),
        (["--prefix", "bad!"], "invalid value for '--prefix'"),
    ],
)
def test_invalid_init_makes_nothing(
    homes: Path, tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "--home", str(tmp_path / "new"), *arguments]) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_invalid_second_init_keeps_the_keys(homes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in (homes / "a" / "keys").iterdir()}
    assert run(["init", "--home", str(homes / "a")]) == 2
    assert "holds a node's home already; name another folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (homes / "a" / "keys").iterdir()} == before


def test_a_new_spec_is_valid_and_shown(spec: Path, homes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    chain = resolve(read_spec(spec))
    assert run(["spec", "validate", str(spec)]) == 0
    assert (
        capsys.readouterr().out
        == f"valid: genesis {chain.genesis_hash.hex()}, {len(chain.modules)} modules, voting power 20\n"
    )
    assert run(["spec", "show", str(spec)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"chain      mine, addresses arm1..., genesis {chain.genesis_hash.hex()}"
    assert [line.split()[1] for line in lines if line.startswith("module ")] == [
        m.name for m in read_spec(spec).modules
    ]
    assert len({line.index("version") for line in lines if line.startswith("module ")}) == 1, "columns are aligned"
    keys = {Keyring(homes / name).public_key("validator").hex() for name in ("a", "b")}
    assert {line.split()[1] for line in lines if line.startswith("validator ")} == keys


def test_a_spec_has_the_prefix_and_the_balances_it_was_told(homes: Path, tmp_path: Path) -> None:
    out = tmp_path / "spec.json"
    balance = f"{encode_address(OTHER, 'xyz')}=12"
    arguments = ["--prefix", "xyz", "--validator", str(homes / "a"), "--balance", balance, "--out", str(out)]
    assert run(["spec", "new", *arguments]) == 0
    tokens = next(module for module in json.loads(out.read_text())["modules"] if module["name"] == "tokens")
    assert tokens["genesis"]["balances"][encode_address(OTHER, "xyz")] == {"arm": "12"}
    assert all(address.startswith("xyz1") for address in tokens["genesis"]["balances"])
    assert run(["spec", "validate", str(out)]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "a chain needs a validator: --validator HOME"),
        (["--validator", "A", "--name", "Bad Name"], 2, "$.name: 'Bad Name' is not of the form"),
        (["--validator", "A", "--prefix", "Bad!"], 2, "invalid value for '--prefix'"),
        (["--validator", "."], 2, "no key 'validator' in"),
        (["--validator", "nowhere"], 2, "'nowhere' does not exist"),
        (["--validator", "A", "--validator", "A"], 2, "validators[1].public_key: "),
        (["--validator", "A", "--module", "nosuch"], 2, "--module: no installed package offers the module 'nosuch'"),
        (["--validator", "A", "--module", "tokns"], 2, "did you mean 'tokens'?"),
        (["--validator", "A", "--module", "tokens"], 2, "the module 'tokens' is composed already"),
        (["--validator", "A", "--balance", "arm1x=4"], 2, "--balance 'arm1x=4': the address' checksum is wrong"),
        (["--validator", "A", "--balance", "OTHER=-1"], 2, "write ADDRESS=AMOUNT with a whole number"),
        (["--validator", "A", "--balance", "OTHER"], 2, "write ADDRESS=AMOUNT with a whole number"),
        (["--validator", "A", "--balance", f"OTHER={1 << 128}"], 2, "is outside 0 to"),
        (["--validator", "A", "--balance", f"OTHER={(1 << 128) - 1}"], 2, "the supply of arm would be"),
    ],
)
def test_invalid_spec_new_writes_nothing(
    homes: Path, tmp_path: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    told = [str(homes / "a") if each == "A" else each.replace("OTHER", encode_address(OTHER)) for each in arguments]
    assert run(["spec", "new", *told, "--out", str(tmp_path / "spec.json")]) == code
    shown = capsys.readouterr().err
    assert words in shown
    assert list(tmp_path.iterdir()) == []


def test_invalid_spec_is_never_overwritten(spec: Path, homes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = spec.read_bytes()
    assert run(["spec", "new", "--validator", str(homes / "a"), "--out", str(spec)]) == 2
    assert "exists already; a spec is never overwritten" in capsys.readouterr().err
    assert spec.read_bytes() == before


@pytest.mark.parametrize("command", [["validate"], ["show"], ["hash"], ["diff", "SAME"]])
def test_invalid_specs_are_told_whole_or_named_by_file(
    spec: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["spec", command[0], *[str(spec)] * len(command)]
    named = f"{spec}: " if command[0] == "diff" else ""
    changed = json.loads(spec.read_text())
    changed["modules"][2]["nmae"] = "x"
    changed["modules"][1]["params"]["fee_denom"] = "!"
    spec.write_text(json.dumps(changed))
    assert run(told) == 2
    assert capsys.readouterr().err == (
        f"error: {named}2 errors\n"
        "  $.modules[2].nmae: there is no such field; did you mean 'name'?\n"
        "  $.modules[1].params.fee_denom: '!' is not of the form [a-z][a-z0-9/_-]*, at most 48 characters\n"
    )
    spec.write_bytes(b'{\n"name":\n}')
    assert run(told) == 2
    assert capsys.readouterr().err == f"error: {named}$: not JSON: line 3, column 1: Expecting value\n"
    spec.unlink()
    assert run(told) == 2
    assert f"{spec}: cannot be read: No such file" in capsys.readouterr().err


def test_invalid_genesis_is_told_by_its_path(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = json.loads(spec.read_text())
    changed["modules"][5]["params"]["deposit_denom"] = "gold"
    spec.write_text(json.dumps(changed))
    assert run(["spec", "validate", str(spec)]) == 2
    assert capsys.readouterr().err.startswith("error: $.modules[5].params: UnknownDepositDenom")


def test_the_hash_is_of_the_content(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    expected = resolve(read_spec(spec)).genesis_hash.hex()
    for indent in (None, 7):
        spec.write_text(json.dumps(json.loads(spec.read_text()), indent=indent, sort_keys=True))
        assert run(["spec", "hash", str(spec)]) == 0
        assert capsys.readouterr().out == f"{expected}\n"


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_difference_is_told_and_is_exit_code_1(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    changed = json.loads(spec.read_text())
    other.write_text(json.dumps(changed, indent=5))
    capsys.readouterr()
    first = resolve(read_spec(spec)).genesis_hash.hex()
    assert run(["spec", "diff", str(spec), str(other)]) == 0
    assert capsys.readouterr().out == f"same genesis {first}\n"

    changed["runtime"]["fee_units"] = 3
    bootnode = f"/dns/{'x' * 60}.example/tcp/7400/p2p/{NetworkKey(bytes(32)).peer_id}"
    changed["bootnodes"] = [bootnode]
    other.write_text(json.dumps(changed))
    second = resolve(read_spec(other)).genesis_hash.hex()
    assert run(["spec", "diff", str(spec), str(other)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "~ $.runtime.fee_units: 1 -> 3",
        f"~ $.bootnodes: [] -> {json.dumps([bootnode])[:100]}...",
        f"genesis {first} -> {second}",
    ]
    assert run(["spec", "diff", "--json", str(spec), str(other)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "same": False,
        "genesis_hashes": [first, second],
        "differences": [
            {"path": "$.runtime.fee_units", "change": "changed", "a": 1, "b": 3},
            {"path": "$.bootnodes", "change": "changed", "a": [], "b": [bootnode]},
        ],
    }


def test_invalid_node_without_home_or_spec(homes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["node", "--home", str(tmp_path)]) == 2
    assert "`armillary init` makes a home" in capsys.readouterr().err
    assert run(["node", "--home", str(homes / "b")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {homes / 'b' / 'spec.json'}: cannot be read")
