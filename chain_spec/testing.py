"""For tests: a valid chain spec (the fixture `spec` of the pytest plugin), any valid one, and ones with one
defect.

    def test_my_module_fits_in(spec: SpecOf, localnet: LocalnetOf) -> None:
        chain = resolve(spec(Counter))
        localnet(of=chain).run(story)

Lives here: specs for tests. The plugin finds `sample_spec` by an entry point of `armillary.fixtures`, for the runtime
imports no other folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from chain_spec import plugins
from chain_spec.document import step
from chain_spec.errors import SpecError
from chain_spec.files import render_spec
from chain_spec.presets import STANDARD_MODULES, FoundingValidator, make_spec
from chain_spec.types import ChainSpec, Consensus
from runtime import Module
from runtime.bech32m import encode_address
from runtime.execution import Chain
from runtime.network.identity import NetworkKey
from runtime.testing.localnet import POWER, VALIDATORS, validator_key
from runtime.testing.strategies import from_type
from runtime.types import AccountId, Name, PublicKey

TIME_MS: Final = 1_700_000_000_000
FUNDS: Final = 10**15
"""Base units that each of the four people holds."""
PEOPLE: Final = ("alice", "bob", "carol", "dora")
Document = dict[str, Any]


def sample_spec(
    *extra: type[Module] | str,
    validators: int | Sequence[FoundingValidator] = VALIDATORS,
    genesis: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> ChainSpec:
    """A valid spec of the standard modules and of `extra` ones, installed, by class or name. Its validators sign with
    the keys of a localnet's nodes, alice, bob, carol and dora hold FUNDS each, and it is the same each time.

    validators: how many, or which. genesis: of modules, by name, as a spec has it. options: those of make_spec instead
    of what stands here (params, consensus, modules, balances, prefix, ...). Raises SpecError.
    """
    composed = (*options.pop("modules", STANDARD_MODULES), *map(_name, extra))
    founders = [_founder(number, POWER) for number in range(validators)] if isinstance(validators, int) else validators
    options = {"balances": {Chain.account_named(name).id: FUNDS for name in PEOPLE}, **options}
    options.setdefault("genesis_time_ms", TIME_MS)
    made = make_spec(options.pop("name", "testing"), founders, modules=composed, **options)
    unknown = set(genesis or {}) - {entry.name for entry in made.modules}
    if unknown:
        raise SpecError("$.modules", f"a genesis for {', '.join(sorted(unknown))}, which is none of the spec's modules")
    entries = [
        entry.model_copy(update={"genesis": dict((genesis or {}).get(entry.name, entry.genesis))})
        for entry in made.modules
    ]
    return made.model_copy(update={"modules": entries})


def _name(module: type[Module] | str) -> str:
    if isinstance(module, str):
        return module
    if plugins.load(module.name) is not module:
        raise SpecError("$.modules", f"the module {module.name!r} that is installed is another than {module!r}")
    return module.name


def _founder(number: int, power: int) -> FoundingValidator:
    key = validator_key(number)
    operator = Chain.account_named(f"validator{number}").id
    return FoundingValidator(PublicKey(key.public_key), operator, NetworkKey(key.seed).peer_id, power)


# --- strategies

_COMPOSED: Final = (
    STANDARD_MODULES,
    STANDARD_MODULES[:-1],
    ("accounts", "tokens", "registry", "validators"),
    ("accounts", "tokens", "validators", "governance"),
    ("validators", "tokens", "accounts"),
)
_MILLISECONDS: Final = st.sampled_from([0, 1, 400, 60_000, (1 << 32) - 1]) | st.integers(0, 60_000)
_PATIENT: Final = st.sampled_from([4_000, (1 << 32) - 1]) | st.integers(4_000, 600_000)
"""The longest wait, which must allow for two executions of a full block."""


@st.composite
def specs(draw: st.DrawFn) -> ChainSpec:
    """Valid specs: other modules in other orders, one to seven validators, any balances, names and waits. Each can be
    read, resolved and started."""
    powers = draw(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=7))
    consensus = {name: draw(_PATIENT if name == "timeout_ms_max" else _MILLISECONDS) for name in Consensus.model_fields}
    amounts = st.sampled_from([0, 1, 10**18]) | st.integers(0, 1 << 100)
    return sample_spec(
        name=draw(from_type(Name).filter(bool)),
        prefix=draw(st.from_regex("[a-z][a-z0-9]{0,15}", fullmatch=True)),
        modules=draw(st.sampled_from(_COMPOSED)),
        validators=[_founder(number, power) for number, power in enumerate(powers)],
        balances=draw(st.dictionaries(from_type(AccountId), amounts, max_size=5)),
        consensus=Consensus(**consensus),
        genesis_time_ms=draw(st.integers(0, 1 << 48)),
    )


@dataclass(frozen=True)
class BrokenSpec:
    """A spec with one defect. document: as JSON has it; path: where whoever reads it must be told of something; what:
    the defect, in a word or two."""

    document: Document
    path: str
    what: str

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        return json.dumps(self.document).encode()


@st.composite
def broken_specs(draw: st.DrawFn) -> BrokenSpec:
    """A valid spec with one defect: a field of a wrong kind, unknown, missing or out of range; a module twice, unknown
    or of another version; a role of nobody; an address of another chain; a validator like another or without power."""
    document: Document = json.loads(render_spec(draw(specs())))
    defect = draw(st.sampled_from(_DEFECTS))
    return BrokenSpec(document, defect(draw, document), defect.__name__.strip("_").replace("_", " "))


def _wrong_kind(draw: st.DrawFn, made: Document) -> str:
    path: str
    path, holder, key = draw(st.sampled_from(list(_scalars("$", made))))
    holder[key] = [[]]
    return path


def _unknown_field(draw: st.DrawFn, made: Document) -> str:
    objects = {"$": made, **{f"$.{name}": made[name] for name in ("consensus", "runtime", "roles")}}
    objects |= {f"$.modules[{place}]": entry for place, entry in enumerate(made["modules"])}
    path = draw(st.sampled_from(sorted(objects)))
    objects[path]["nobody_knows"] = 1
    return f"{path}.nobody_knows"


def _missing_field(draw: st.DrawFn, made: Document) -> str:
    founders, path = _founders(made)
    place = draw(st.integers(0, len(founders) - 1))
    choices: list[tuple[str, Document, str]] = [("$", made, "name"), ("$", made, "genesis_time_ms")]
    choices += [(f"{path}[{place}]", founders[place], name) for name in ("public_key", "operator", "power", "peer")]
    where, holder, name = draw(st.sampled_from(choices))
    del holder[name]
    return f"{where}.{name}"


def _out_of_range(draw: st.DrawFn, made: Document) -> str:
    name = draw(st.sampled_from(sorted(made["consensus"])))
    made["consensus"][name] = draw(st.sampled_from([-1, 1 << 32, 1 << 64, 1 << 200]))
    return f"$.consensus.{name}"


def _module_twice(draw: st.DrawFn, made: Document) -> str:
    made["modules"].append(draw(st.sampled_from(made["modules"])))
    return f"$.modules[{len(made['modules']) - 1}].name"


def _unknown_module(draw: st.DrawFn, made: Document) -> str:
    place = draw(st.integers(0, len(made["modules"]) - 1))
    made["modules"][place]["name"] = "nobodys_module"
    return f"$.modules[{place}].name"


def _other_version(draw: st.DrawFn, made: Document) -> str:
    place = draw(st.integers(0, len(made["modules"]) - 1))
    made["modules"][place]["version"] += 1_000
    return f"$.modules[{place}].version"


def _role_of_nobody(draw: st.DrawFn, made: Document) -> str:
    role = draw(st.sampled_from(sorted(made["roles"])))
    made["roles"][role] = "nobodys_module"
    return f"$.roles.{role}"


def _address_of_another_chain(draw: st.DrawFn, made: Document) -> str:
    founders, path = _founders(made)
    place = draw(st.integers(0, len(founders) - 1))
    founders[place]["operator"] = encode_address(draw(from_type(AccountId)), made["address_prefix"][:12] + "zz")
    return f"{path}[{place}].operator"


def _validator_like_another(draw: st.DrawFn, made: Document) -> str:
    founders, path = _founders(made)
    name = draw(st.sampled_from(["public_key", "operator", "peer"]))
    founders.append({**_other_founder(made), name: draw(st.sampled_from(founders))[name]})
    return f"{path}[{len(founders) - 1}].{name}"


def _validator_without_power(draw: st.DrawFn, made: Document) -> str:
    founders, path = _founders(made)
    founders.append({**_other_founder(made), "power": 0})
    return f"{path}[{len(founders) - 1}].power"


_DEFECTS: Final[Sequence[Callable[[st.DrawFn, Document], str]]] = (
    _wrong_kind,
    _unknown_field,
    _missing_field,
    _out_of_range,
    _module_twice,
    _unknown_module,
    _other_version,
    _role_of_nobody,
    _address_of_another_chain,
    _validator_like_another,
    _validator_without_power,
)


def _founders(made: Document) -> tuple[list[Document], str]:
    place = [entry["name"] for entry in made["modules"]].index("validators")
    return made["modules"][place]["genesis"]["validators"], f"$.modules[{place}].genesis.validators"


def _other_founder(made: Document) -> Document:
    new = _founder(1_000, POWER)
    operator = encode_address(new.operator, made["address_prefix"])
    return {"public_key": new.public_key.hex(), "operator": operator, "power": new.power, "peer": new.peer_id}


def _scalars(path: str, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Everything in a document that has no parts: its path, what holds it, and where."""
    places = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in places:
        below = step(path, key)
        if isinstance(each, dict | list):
            yield from _scalars(below, each)
        else:
            yield below, value, key
