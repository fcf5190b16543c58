"""Calls inside arguments: what people write is the call they mean, what they read is the call that is stored, what is
wrong is named by its JSON path. And the commands of governance, over a chain in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_spec import plugins
from chain_spec.presets import STANDARD_MODULES
from modules.accounts import Accounts
from modules.governance import Governance
from modules.governance.protocol import Choice, Content
from modules.tokens import Tokens
from modules.validators import Validators
from modules.validators.module import GenesisValidator
from runtime import AccountId, Call, Module, ModuleParams, Name
from runtime.bech32m import encode_address
from runtime.codec import codec
from runtime.codec.schema import schema_of
from runtime.errors import UsageError
from runtime.execution import Chain, RuntimeParams
from runtime.execution.core import Core
from runtime.rpc.values import Values
from runtime.testing.strategies import from_type
from tools.cli import governance
from tools.cli.app import run
from tools.cli.calls import SET_PARAMS, NestedCalls, Params
from tools.client import NodeClient

PREFIX = "xyz"
MODULES: list[type[Module]] = [Core, *(plugins.load(name) for name in STANDARD_MODULES)]
CALLS = [info for module in MODULES for info in module.metadata().calls.values()]
KINDS = {module.name: kind for module in MODULES if (kind := module.metadata().params) is not None}
CONTENT = schema_of(Content)
KEY = "ab" * 32
OPERATOR = encode_address(AccountId(bytes(32)), PREFIX)
PEER = "12D3KooW" + "A" * 44


class Answers:
    """A node that has these parameters, and no tokens with a symbol."""

    url = "http://node"

    def __init__(self, params: dict[str, ModuleParams]) -> None:
        self.params = params

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        if path == "/query/tokens/metadata_of":
            return {"result": None}
        assert path == "/query/runtime/params_of"
        found = self.params.get(parameters["module"])
        return {"result": None if found is None else codec(type(found)).encode(found).hex()}


def nested(**params: ModuleParams) -> NestedCalls:
    return NestedCalls(cast("NodeClient", Answers(params)), PREFIX, lambda denom: None)


def written(calls: list[Any], **params: ModuleParams) -> list[Any]:
    """The calls of a proposal's content in the form that travels."""
    found: list[Any] = nested(**params).encoded(Content, {"text": "", "calls": json.loads(json.dumps(calls))})["calls"]
    return found


def plain(call: Call) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments.hex()}


@st.composite
def calls(draw: st.DrawFn) -> Call:
    info = draw(st.sampled_from(CALLS))
    return Call(info.full_name, info.codec.encode(draw(from_type(info.arguments))))


@given(st.lists(calls(), max_size=3))
def test_what_is_shown_of_calls_is_read_back_as_the_same_calls(made: list[Call]) -> None:
    stored = {"text": "", "calls": [plain(call) for call in made]}
    shown = nested().decoded(CONTENT, stored)
    assert [call["call"] for call in shown["calls"]] == [call.name for call in made]
    assert written(shown["calls"]) == stored["calls"]
    assert written(stored["calls"]) == stored["calls"], "the form that travels may be written too"


@given(st.data())
def test_of_parameters_only_what_is_named_changes(data: st.DataObject) -> None:
    module = data.draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[module]
    now, other = data.draw(from_type(kind)), data.draw(from_type(kind))
    names = data.draw(st.sets(st.sampled_from(sorted(kind.model_fields))))
    shown = Params(cast("NodeClient", Answers({})), PREFIX).for_people(other)
    change = {"module": module, "params": {name: shown[name] for name in names}}
    (call,) = written([{"call": SET_PARAMS, "arguments": change}], **{module: now})
    wanted = now.model_copy(update={name: getattr(other, name) for name in names})
    assert call == plain(Core.set_params.build(module=Name(module), params=codec(kind).encode(wanted)))
    (read,) = nested().decoded(CONTENT, {"text": "", "calls": [call]})["calls"]
    assert read["arguments"]["params"].keys() == kind.model_fields.keys()


def test_each_change_is_said_before_anything_is_signed(capsys: pytest.CaptureFixture[str]) -> None:
    change = {"module": "runtime", "params": {"fee_units": 7, "fee_per_gas": 1_000}}
    written([{"call": SET_PARAMS, "arguments": change}], runtime=RuntimeParams())
    assert capsys.readouterr().err == "runtime.fee_units: 1 becomes 7\n"


def test_a_call_that_no_module_here_knows_is_shown_as_it_is_stored() -> None:
    for stored in ({"name": "nobody.acts", "arguments": "00"}, {"name": "tokens.burn", "arguments": "00"}):
        assert nested().decoded(CONTENT, {"text": "", "calls": [stored]})["calls"] == [stored]


ADD = {"public_key": KEY, "operator": OPERATOR, "power": 1, "peer": PEER}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("x", '$.calls[0]: a call is {"call": "module.call", "arguments": {...}}'),
        ({}, "$.calls[0]: a call is"),
        ({"call": 1}, "$.calls[0]: a call is"),
        ({"call": "tokens.burn", "args": {}}, "$.calls[0].args: there is no such field"),
        ({"call": "tokens.burn", "arguments": []}, "$.calls[0].arguments: a JSON object"),
        ({"call": "token.burn"}, "$.calls[0].call: no installed package offers the module 'token'"),
        ({"call": "tokens.bur"}, "$.calls[0].call: module tokens has no call 'bur'; did you mean 'burn'?"),
        ({"call": "validators.add"}, "$.calls[0].arguments.public_key: this field is missing"),
        ({"call": "validators.add", "arguments": ADD | {"power": -1}}, "$.calls[0].arguments.power: -1 is outside 0"),
        ({"call": "validators.add", "arguments": ADD | {"powr": 1}}, "$.calls[0].arguments.powr: there is no such"),
        ({"call": "validators.add", "arguments": ADD | {"operator": "xyz1"}}, "$.calls[0].arguments.operator: the ad"),
        ({"call": SET_PARAMS, "arguments": {"module": "nobody", "params": {}}}, "$.calls[0].arguments.module: no in"),
        ({"call": SET_PARAMS, "arguments": {"module": "oracle", "params": {}}}, "$.calls[0].arguments.module: "),
        ({"call": SET_PARAMS, "arguments": {"module": "tokens", "params": {}}}, "$.calls[0].arguments.module: this c"),
        (
            {"call": SET_PARAMS, "arguments": {"module": "runtime", "params": {"fee_unit": 1}}},
            "$.calls[0].arguments.params.fee_unit: there is no such field; did you mean 'fee_units'?",
        ),
        (
            {"call": SET_PARAMS, "arguments": {"module": "runtime", "params": {"fee_units": "x"}}},
            '$.calls[0].arguments.params.fee_units: found "x"; write a whole number',
        ),
    ],
)
def test_invalid_calls_are_named_by_their_path(call: Any, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        written([call], runtime=RuntimeParams())
    assert sentence in str(refused.value)


# --- the commands


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "missing --title; a proposal has one"),
        (["--title", "t", "--set", "oracle"], "--set 'oracle': write MODULE.PARAMETER=VALUE"),
        (["--title", "t", "--set", "fee_units=1"], "--set 'fee_units=1': write MODULE.PARAMETER=VALUE"),
        (["--title", "t", "--set", "nobody.x=1"], "--set nobody.x: no installed package offers the module 'nobody'"),
        (["--title", "t", "--set", "runtime.fee=1"], "--set runtime.fee: module runtime has no parameter 'fee'; it ha"),
        (["--title", "t", "--set", "accounts.x=1"], "--set accounts.x: module accounts has no parameter 'x'; it has n"),
        (["--title", "t", *("--set", "runtime.fee_units=1") * 2], "--set runtime.fee_units: is given twice"),
        (["--title", "t", "--set", "governance.burns_without_quorum=maybe"], "'maybe' is not JSON of the form"),
        (["--title", "t", "--call", "tokens.burn", "{"], "--call tokens.burn: its arguments are not JSON"),
        (["--file", "/nowhere"], "/nowhere: No such file"),
    ],
)
def test_invalid_proposals_are_refused_before_any_node_is_asked(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["governance", "propose", *options, "--key", "k"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert sentence in shown.err


def test_invalid_file_with_a_field_that_a_proposal_has_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "proposal.json"
    file.write_text('{"titel": "t"}')
    assert run(["governance", "propose", "--file", str(file), "--key", "k"]) == 2
    assert "there is no argument 'titel'; it takes calls, enact_at, text, title" in capsys.readouterr().err


class InProcess:
    """A node's answers, from a chain in this process."""

    url = "http://node"

    def __init__(self, chain: Chain) -> None:
        self._app = chain.application
        self._values = Values(self._app)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def status(self) -> dict[str, Any]:
        return {"address_prefix": self._app.genesis.address_prefix}

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        _, _, module, name = path.split("/")
        info = self._app.query_info(module, name)
        texts = {name: str(value) for name, value in parameters.items() if value is not None}
        answer = self._app.query(module, name, self._values.arguments(info, texts))
        return {"result": self._values.answer(info, answer)}


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    """One validator, alice's, and a chain whose proposals are voted on for two blocks."""
    named = Chain().account
    alice = named("alice")
    validator = GenesisValidator(named("key").key.public_key, alice.id, power=5, peer=PEER)
    made = Chain(
        *(Accounts, Tokens, Validators, Governance),
        genesis={"tokens": {"balances": {alice.id: {"arm": 10**12}}}, "validators": {"validators": (validator,)}},
        params={"governance": {"voting_blocks": 2, "delay_blocks": 1}},
    )
    monkeypatch.setattr(governance, "NodeClient", lambda url: InProcess(made))
    return made


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["governance", *arguments]) == 0
    return capsys.readouterr().out


def propose(chain: Chain, title: str, *calls: Call) -> None:
    """In one block, and alice's vote for it in the next."""
    made = Governance.propose.build(title=title, text="why\nnot", calls=calls, enact_at=None)
    vote = Governance.vote.build(proposal=chain.query(Governance.count), choice=Choice.YES)
    for call in (made, vote):
        assert chain.submit(call, signer=chain.account("alice")).is_ok


def test_a_proposals_life_as_it_is_shown(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = chain.application.params().model_copy(update={"block_transactions_max": 9})
    change = Core.set_params.build(module=Name("runtime"), params=codec(RuntimeParams).encode(wanted))
    remove = Validators.remove.build(public_key=chain.account("nobody").key.public_key)
    propose(chain, "Small\x1b[2J blocks", change)
    first = shown(capsys, "show", "0")
    assert "0          voting: Small [2J blocks\n" in first
    assert "runtime.set_params of runtime\n             block_transactions_max: 10000 becomes 9\n" in first
    assert "votes      yes 5, no 0, abstain 0, veto 0, of 5\n" in first
    assert "text       why not\n" in first
    propose(chain, "Removal", remove)
    propose(chain, "Words")
    lines = shown(capsys, "list").splitlines()
    assert [line.split() for line in lines] == [
        ["0", "enacted", "ends", "3", "Small", "[2J", "blocks"],
        ["1", "failed", "ends", "5", "Removal"],
        ["2", "voting", "ends", "7", "Words"],
    ]
    assert "all of them as they stand now" in shown(capsys, "show", "0")
    second = shown(capsys, "show", "1")
    assert "1          failed: Removal" in second
    assert "failure    call 0: validators.UnknownValidator" in second
    told = json.loads(shown(capsys, "show", "1", "--json"))
    public_key = chain.account("nobody").key.public_key.hex()
    assert told["content"]["calls"] == [{"call": "validators.remove", "arguments": {"public_key": public_key}}]
    assert [each["id"] for each in json.loads(shown(capsys, "list", "--json"))] == [0, 1, 2]


def test_parameters_are_told_by_module_and_name(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "params").splitlines()
    assert "runtime.block_transactions_max = 10000" in lines
    assert "governance.voting_blocks = 2" in lines
    assert not [line for line in lines if line.startswith("registry.")], "this chain has none"
    assert shown(capsys, "params", "tokens").startswith("tokens.fee_denom = arm\n")
    assert json.loads(shown(capsys, "params", "runtime", "--json"))["runtime"]["fee_per_gas"] == 1


def test_invalid_proposals_and_modules_that_are_not_there(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, sentence in (
        (["show", "7"], "there is no proposal 7 on this chain"),
        (["show", "x"], "'x' is no whole number"),
        (["params", "registry"], "this chain has no module registry with parameters"),
        (["params", "accounts"], "module accounts has no parameters"),
        (["params", "nobody"], "no installed package offers the module 'nobody'"),
        (["vote", "0", "perhaps", "--key", "k"], "'perhaps' is not one of"),
    ):
        assert run(["governance", *arguments]) == 2, arguments
        assert sentence in capsys.readouterr().err
