"""The strategies of specs, and the fixture: valid ones start, broken ones are told where, and a localnet runs one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from chain_spec import ChainSpec, SpecError, parse_chain, render_spec, resolve
from chain_spec.fitting import no_validators
from chain_spec.start import start_in_memory
from chain_spec.testing import FUNDS, BrokenSpec, broken_specs, sample_spec, specs
from modules.tokens import Tokens
from runtime import Module
from runtime.execution.application import Application
from runtime.testing.localnet import VALIDATORS
from runtime.testing.plugin import LocalnetOf, SpecOf


@settings(max_examples=25)
@given(specs())
def test_a_valid_spec_is_read_as_itself_and_starts(spec: ChainSpec) -> None:
    read, chain = parse_chain(render_spec(spec).encode())
    assert read == spec
    assert not no_validators(spec)
    application: Application = start_in_memory(chain)
    assert len(application.validators()) >= 1


@settings(max_examples=50)
@given(broken_specs())
def test_invalid_specs_are_told_where_their_defect_is(broken: BrokenSpec) -> None:
    with pytest.raises(SpecError) as error:
        parse_chain(broken.data)
    assert broken.path in {problem.path for problem in error.value.problems}, broken.what


def test_the_fixture_is_a_chain_that_a_localnet_runs(spec: SpecOf, localnet: LocalnetOf) -> None:
    made = spec(params={"tokens": {"fee_denom": "arm"}}, genesis={"oracle": {}})
    assert spec() == made
    net = localnet(of=resolve(made))
    alice, bob = net.account("alice"), net.account("bob")

    async def story() -> None:
        receipt = await net.submit(Tokens.transfer.build(to=bob.id, denom="arm", amount=5), signer=alice)
        assert receipt.is_ok
        assert net.query(Tokens.balance_of, account=alice.id, denom="arm") == FUNDS - 5 - receipt.fee
        assert len(net.running) == VALIDATORS

    net.run(story)


class Homeless(Module):
    """Installed by no package."""

    name = "homeless"


class Impostor(Module):
    """Calls itself as another does."""

    name = "tokens"


@pytest.mark.parametrize(
    ("modules", "options", "said"),
    [
        ((Homeless,), {}, "no installed package offers the module 'homeless'"),
        ((Impostor,), {}, "is another than"),
        ((), {"genesis": {"nobody": {}}}, "a genesis for nobody"),
        (("tokens",), {}, "twice"),
    ],
)
def test_invalid_specs_for_tests_are_told(modules: Any, options: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        resolve(sample_spec(*modules, **options))
