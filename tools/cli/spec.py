"""armillary spec: chain specs. Founding together is in spec_ceremony.py, comparing in spec_diff.py, a new chain from an
old one in spec_export.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from chain_spec import ChainSpec, SpecError, make_spec, read_chain, render_spec, resolve
from chain_spec.errors import Problem, refuse
from chain_spec.fitting import no_validators
from chain_spec.json_schema import spec_schema
from chain_spec.pins import check_sources
from chain_spec.presets import FOUNDER_BALANCE, STANDARD_MODULES, check_modules
from chain_spec.start import start_in_memory
from runtime.bech32m import DEFAULT_PREFIX, Bech32mError, decode_address
from runtime.errors import UsageError
from runtime.node.files import write_atomically
from runtime.types import AccountId
from tools.cli.founders import founder_of
from tools.cli.groups import Listed, first_sentence
from tools.cli.options import FILE, Prefix
from tools.cli.spec_ceremony import add_account, add_validator, entry
from tools.cli.spec_diff import diff
from tools.cli.spec_export import export


@click.group(cls=Listed)
def spec() -> None:
    """Make, check, compare and show chain specs; found a chain together, or from another chain's state.

    A chain spec is a JSON file that pins a chain down. All that is wrong with one is said at once, each with its JSON
    path and the mend.
    """


@spec.command()
@click.option("--name", default="my_chain", show_default=True, help="What people call the chain.")
@click.option("--prefix", type=Prefix(), default=DEFAULT_PREFIX, show_default=True, help="Of the chain's addresses.")
@click.option(
    "--validator",
    "homes",
    multiple=True,
    metavar="HOME",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The home of a node made by armillary init; it validates from height 1 on. Repeat for several.",
)
@click.option("--draft", is_flag=True, help="Leave the validators to armillary spec add-validator.")
@click.option(
    "--module", "modules", multiple=True, metavar="NAME", help="Also compose this module. Repeat for several."
)
@click.option(
    "--balance", "balances", multiple=True, metavar="ADDRESS=AMOUNT", help="Base units at height 0. Repeat for several."
)
@click.option("--out", "-o", type=FILE, required=True, help="The file to write.")
def new(
    name: str, prefix: str, homes: tuple[Path, ...], draft: bool, modules: tuple[str, ...], balances: tuple[str, ...],
    out: Path,
) -> None:  # fmt: skip
    """Write a complete chain spec.

    It has the standard modules, pinned to what is installed, with every parameter in view: edit it, then let
    armillary spec validate check it. The operators of the validators hold tokens.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; a spec is never overwritten")
    if not homes and not draft:
        raise UsageError("a chain needs a validator: --validator HOME, a folder made by armillary init, or --draft")
    check_modules(modules, "--module")
    founders = [founder_of(home) for home in homes]
    held = {founder.operator: FOUNDER_BALANCE for founder in founders} | dict(_balance(b, prefix) for b in balances)
    made = make_spec(name, founders, held, prefix=prefix, modules=(*STANDARD_MODULES, *modules))
    lacks = _lacks(made) if draft else no_validators(made)
    found = "a draft" if lacks else f"genesis {resolve(made).genesis_hash.hex()}"
    if homes:
        start_in_memory(resolve(made))
    write_atomically(out, render_spec(made).encode())
    click.echo("\n  it lacks ".join([f"wrote {out}: chain {name}, {found}", *map(str, lacks)]))


def _lacks(made: ChainSpec) -> list[Problem]:
    """What a draft lacks: validators, and what modules ask for at height 0 that only a person can say. Raises SpecError
    where anything else is wrong."""
    try:
        resolve(made)
    except SpecError as error:
        if not all(re.match(r"\$\.modules\[\d+\]\.genesis\b", problem.path) for problem in error.problems):
            raise
        return [*error.problems, *no_validators(made)]
    return no_validators(made)


@spec.command()
@click.argument("file", type=FILE)
def validate(file: Path) -> None:
    """Check FILE as a node would, and say all that is wrong.

    Checked are its form, its modules and their versions, how they fit together, and the state that it makes at height
    0. A draft without validators is not valid yet. Sources that are not those that FILE pins are no fault of FILE:
    exit code 1, not 2.
    """
    read, resolved = read_chain(file)
    refuse(no_validators(read))
    power = sum(validator.power for validator in start_in_memory(resolved).validators())
    check_sources(read, resolved)
    click.echo(f"valid: genesis {resolved.genesis_hash.hex()}, {len(resolved.modules)} modules, voting power {power}")


@spec.command(name="hash")
@click.argument("file", type=FILE)
def hash_command(file: Path) -> None:
    """Print the genesis hash of FILE's chain: of its content, not of its layout.

    Founders who have the same hash have the same chain. Bootnodes are no part of it.
    """
    click.echo(read_chain(file)[1].genesis_hash.hex())


@spec.command()
def schema() -> None:
    """Print the JSON Schema (2020-12) of chain specs, for editors and programs.

    It has the parameters and the genesis of every module that is installed here. What a schema cannot say - checksums,
    pins, how modules fit together - armillary spec validate checks.
    """
    click.echo(json.dumps(spec_schema(), indent=2))


@spec.command()
@click.argument("file", type=FILE)
def show(file: Path) -> None:
    """Print what FILE says, for people."""
    read, resolved = read_chain(file)
    click.echo(f"chain      {read.name}, addresses {read.address_prefix}1..., genesis {resolved.genesis_hash.hex()}")
    bounds = read.runtime
    click.echo(
        f"blocks     {bounds.block_gas_max:,} gas, {bounds.block_bytes_max:,} bytes, an empty one every "
        f"{read.consensus.empty_block_interval_ms / 1000:g} s"
    )
    click.echo(f"fees       {bounds.fee_units} for every {bounds.fee_per_gas:,} gas")
    width = max(len(chosen.name) for chosen in read.modules)
    click.echo(f"roles      {', '.join(f'{role}: {name}' for role, name in read.roles.model_dump().items())}")
    for chosen, module in zip(read.modules, resolved.modules, strict=True):
        metadata = module.metadata()
        click.echo(f"module     {chosen.name:<{width}}  version {metadata.version}, {first_sentence(metadata.docs)}")
    if no_validators(read):
        click.echo("validators none yet: this is a draft")
        return
    for validator in start_in_memory(resolved).validators():
        click.echo(f"validator  {validator.public_key.hex()}  power {validator.power}")


for command in (diff, export, entry, add_validator, add_account):
    spec.add_command(command)


def _balance(text: str, prefix: str) -> tuple[AccountId, int]:
    address, equals, amount = text.partition("=")
    if not equals or not (amount.isascii() and amount.isdigit()):
        raise UsageError(f"--balance {text!r}: write ADDRESS=AMOUNT with a whole number")
    try:
        return AccountId(decode_address(address, prefix)), int(amount)
    except Bech32mError as error:
        raise UsageError(f"--balance {text!r}: {error}") from None
