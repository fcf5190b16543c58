"""The pytest plugin that comes with Armillary: fixtures for authors of modules.

    def test_counts(chain: ChainOf, accounts: Accounts) -> None:
        counter = chain(Counter)
        assert counter.submit(Counter.bump.build(step=3), signer=accounts.alice).is_ok

chain: a Chain of these modules; watched: one that checks every rule of an attack after each step; accounts: by name,
the same keys as on every test chain; localnet: validators of these modules in virtual time (localnet.py); spec: a
chain spec with them; golden: compares a module with its committed form (golden.py).
pytest imports this file at every start: what is heavy is imported by the fixture that needs it.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from runtime.execution import Chain
    from runtime.execution.chain import Account
    from runtime.module import Module
    from runtime.testing.attacking import Watched
    from runtime.testing.localnet import Localnet

FIXTURES = "armillary.fixtures"
UPDATE = "--update-golden"


class ChainOf(Protocol):
    """Makes a chain; options: those of runtime.execution.Chain (genesis, params, fees, ...)."""

    def __call__(self, *modules: type[Module], **options: Any) -> Chain:
        """The chain of these modules, at its genesis."""
        ...


class WatchedOf(Protocol):
    """Makes a chain under watch; options: those of runtime.testing.Watched."""

    def __call__(self, *modules: type[Module], **options: Any) -> Watched:
        """The same under watch: a step that breaks a rule raises, and fails the test."""
        ...


class LocalnetOf(Protocol):
    """Makes a localnet; options: those of runtime.testing.localnet.Localnet (validators, seed, genesis, of, ...)."""

    def __call__(self, *modules: type[Module], **options: Any) -> Localnet:
        """Validators of these modules, which run while `run` runs a story."""
        ...


class SpecOf(Protocol):
    """Makes a chain spec; options: those of chain_spec.testing.sample_spec (validators, params, genesis, ...)."""

    def __call__(self, *modules: type[Module] | str, **options: Any) -> Any:
        """A valid ChainSpec of the standard modules and of these, which must be installed."""
        ...


class Golden(Protocol):
    """Compares modules with the golden files beside the test, or writes these."""

    def __call__(self, *modules: type[Module]) -> None:
        """Fails the test where a module's declaration is no longer the committed one."""
        ...


class Accounts:
    """Accounts by name: `accounts.alice`, `accounts["alice"]`. A name has the same key on every chain."""

    def __getattr__(self, name: str) -> Account:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Account:
        from runtime.execution import Chain

        return Chain.account_named(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    group = parser.getgroup("armillary")
    group.addoption(UPDATE, action="store_true", help="Write the golden files of modules instead of comparing.")


@pytest.fixture
def chain() -> ChainOf:
    """chain(Counter, ...) makes a Chain, without network or disk."""
    from runtime.execution import Chain

    return lambda *modules, **options: Chain(*modules, **options)


@pytest.fixture
def watched() -> WatchedOf:
    """watched(Counter, ...) makes a Chain that checks, after each thing done with it, what an attack checks."""
    from runtime.testing.attacking import Watched

    return lambda *modules, **options: Watched(*modules, **options)


@pytest.fixture
def localnet() -> LocalnetOf:
    """localnet(Counter, ..., seed=7).run(story): whole validators, in one process and in virtual time."""
    from runtime.testing.localnet import Localnet

    return lambda *modules, **options: Localnet(*modules, **options)


@pytest.fixture
def spec() -> SpecOf:
    """spec(Counter, ...) makes a valid chain spec. What makes it is found as modules are: the runtime imports none of
    the other folders."""
    (point,) = entry_points(group=FIXTURES, name="spec")
    made: SpecOf = point.load()
    return made


@pytest.fixture
def accounts() -> Accounts:
    """Accounts by name: accounts.alice."""
    return Accounts()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """golden(Counter) compares the module with golden/counter.json beside the test; --update-golden writes it."""
    from runtime.testing import golden as locks

    folder: Path = request.path.parent / "golden"
    update = bool(request.config.getoption(UPDATE))

    def check(*modules: type[Module]) -> None:
        for module in modules:
            file = folder / f"{module.name}.json"
            try:
                locks.check(module, file, update=update)
                continue
            except FileNotFoundError:
                said = f"{file} is missing: pytest {UPDATE} writes it; commit it"
            except (locks.GoldenChanged, ValueError) as error:
                said = str(error)
            pytest.fail(said, pytrace=False)

    return check
