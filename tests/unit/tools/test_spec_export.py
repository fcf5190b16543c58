"""armillary spec export: a chain's whole state in a spec, from which a new chain begins; and pins that do not hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from chain_spec import read_chain, read_spec
from chain_spec.late_engine import LateEngine
from chain_spec.start import start_in_memory
from modules.governance import Governance
from modules.oracle import Oracle
from modules.tokens import Tokens
from runtime.execution import Application, Chain
from runtime.execution.block import BlockInputs
from runtime.execution.transaction import build_transaction, encode_transaction
from runtime.module import Call
from runtime.node.files import FileLock
from runtime.state.disk import DiskStore
from tools.cli import home as home_module
from tools.cli.app import run
from tools.cli.keyring import PASSWORD_FILE_VARIABLE
from tools.fuzzing.models import card, rows, small_models
from tools.fuzzing.standard import ARM
from tools.localnet import Localnet
from tools.registration import registration_calls

MODEL = small_models()[0]
ALICE, BOB = (Chain.account_named(name) for name in ("alice", "bob"))
FEE = 10**6


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a node whose chain has a model at height 1, a record of it and a proposal from height 2 on, and at
    height 3 a payment to bob."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "password").write_text("secret\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD_FILE_VARIABLE, str(folder / "password"))
        patch.setattr(home_module.make_home, "__kwdefaults__", {"scrypt_n": 1 << 10})
        assert run(["init", "--home", str(folder / "node")]) == 0
        balances = [f"--balance={_address(each.id)}={10**12}" for each in (ALICE, BOB)]
        new = ["spec", "new", "--name", "old", "--validator", str(folder / "node"), *balances]
        assert run([*new, "--out", str(folder / "node" / "spec.json")]) == 0
        drive(folder / "node")
        yield folder / "node"


def _address(account: bytes) -> str:
    from runtime.bech32m import encode_address

    return encode_address(account)


def drive(home: Path) -> None:
    _, chain = read_chain(home / "spec.json")
    store = DiskStore(home / "data" / "state")
    app = Application(chain.genesis, chain.modules, store, engine=LateEngine())
    app.start()
    block(app, *(call for _, call in registration_calls(MODEL.data, card(ARM, 2))))
    infer = Oracle.infer.build(model=MODEL.name, inputs=rows(Random(1)))
    block(app, infer, Governance.propose.build(title="t", text="", calls=(), enact_at=None))
    block(app, Tokens.transfer.build(to=BOB.id, denom=ARM, amount=7))
    store.close()


def block(app: Application, *calls: Call) -> None:
    """One block with one transaction of alice's."""
    nonce, gas = app.next_nonce(ALICE.id), 100_000_000
    made = build_transaction(
        calls, genesis_hash=app.genesis_hash, key=ALICE.key, nonce=nonce, gas_limit=gas, max_fee=FEE
    )
    time_ms = app.genesis.time_ms + 1_000 * (app.height + 1)
    executed = app.execute(BlockInputs(app.height + 1, time_ms, (encode_transaction(made),)))
    assert executed.receipts[0].is_ok, executed.explanations
    app.commit(executed)


def exported(home: Path, out: Path, *options: str) -> Application:
    assert run(["spec", "export", "--home", str(home), "--name", "new", "--out", str(out), *options]) == 0
    return start_in_memory(read_chain(out)[1])


def held(app: Application, account: bytes) -> int:
    found: int = app.query("tokens", "balance_of", {"account": account, "denom": ARM})
    return found


def test_a_new_chain_begins_with_balances_models_records_and_proposals(home: Path, tmp_path: Path) -> None:
    new = exported(home, tmp_path / "new.json")
    assert run(["spec", "validate", str(tmp_path / "new.json")]) == 0
    assert (new.height, new.genesis.chain) == (0, "new")
    assert held(new, BOB.id) == 10**12 + 7
    assert new.next_nonce(ALICE.id) == 3
    assert new.query("oracle", "record", {"id": 0}).model == MODEL.name
    proposal = new.query("governance", "proposal", {"id": 0})
    assert proposal.voting_ends == read_params(tmp_path / "new.json", "governance")["voting_blocks"] - 1
    block(new, Oracle.infer.build(model=MODEL.name, inputs=rows(Random(2))))
    assert new.query("oracle", "count", {}) == 2


def read_params(spec: Path, module: str) -> dict[str, int]:
    (found,) = [each.params for each in read_spec(spec).modules if each.name == module]
    return found


def test_the_state_of_an_earlier_height_is_exported(home: Path, tmp_path: Path) -> None:
    new = exported(home, tmp_path / "new.json", "--height", "1")
    assert held(new, BOB.id) == 10**12
    assert new.query("oracle", "count", {}) == 0
    assert new.query("registry", "model", {"model": MODEL.name}).record.height == 0


def test_a_network_on_one_machine_takes_over_the_state_with_validators_of_its_own(home: Path, tmp_path: Path) -> None:
    exported(home, tmp_path / "new.json")
    network = Localnet(tmp_path / "net", 2, spec=read_spec(tmp_path / "new.json"))
    spec, chain = read_chain(network.spec_path)
    new = start_in_memory(chain)
    assert (spec.name, len(spec.bootnodes), len(new.validators())) == ("new", 2, 2)
    assert {each.public_key for each in new.validators()} == {
        node.key("validator").public_key for node in network.nodes
    }
    assert held(new, BOB.id) == 10**12 + 7
    assert all(held(new, node.key("operator").public_key) > 0 for node in network.nodes)


def test_invalid_export_leaves_no_file(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new.json"

    def said(*options: str, code: int) -> str:
        arguments = {"--home": str(home), "--name": "new", "--out": str(out)} | dict(
            zip(*[iter(options)] * 2, strict=True)
        )
        assert run(["spec", "export", *(part for pair in arguments.items() for part in pair)]) == code
        assert not out.exists()
        return capsys.readouterr().err

    assert "no state at height 9" in said("--height", "9", code=1)
    assert "is no name" in said("--name", "New Chain", code=2)
    (tmp_path / "empty").mkdir()
    assert "armillary init" in said("--home", str(tmp_path / "empty"), code=2)
    with FileLock(home / "data" / "node.lock"):
        assert "held by process" in said(code=2)
    out.write_text("mine")
    assert run(["spec", "export", "--home", str(home), "--name", "new", "--out", str(out)]) == 2
    assert out.read_text() == "mine"


def test_invalid_pins_are_told_by_name_pinned_and_found(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((home / "spec.json").read_text())
    right = document["modules"][1]["digest"]
    document["modules"][1]["digest"] = "11" * 32
    (tmp_path / "spec.json").write_text(json.dumps(document))
    assert run(["spec", "validate", str(tmp_path / "spec.json")]) == 1
    said = capsys.readouterr().err
    assert f"$.modules[1].digest: module tokens: the spec pins sources {'11' * 32}, installed are {right};" in said
    assert run(["localnet", "--home", str(tmp_path / "net"), "--spec", str(tmp_path / "spec.json")]) == 1
    assert "module tokens: the spec pins" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()
