"""armillary spec: chain specs."""

from __future__ import annotations

from pathlib import Path

import click

from chain_spec import ResolvedChain, make_spec, read_spec, render_spec, resolve
from chain_spec.presets import FOUNDER_BALANCE, STANDARD_MODULES, check_modules
from runtime.bech32m import DEFAULT_PREFIX, Bech32mError, decode_address
from runtime.errors import UsageError
from runtime.execution import Application
from runtime.node.files import write_atomically
from runtime.state import MemoryStore
from runtime.types import AccountId
from tools.cli.founders import founder_of
from tools.cli.groups import Listed, first_sentence
from tools.cli.options import FILE, Prefix


@click.group(cls=Listed)
def spec() -> None:
    """Make, check and show chain specs."""


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
@click.option(
    "--module", "modules", multiple=True, metavar="NAME", help="Also compose this module. Repeat for several."
)
@click.option(
    "--balance", "balances", multiple=True, metavar="ADDRESS=AMOUNT", help="Base units at height 0. Repeat for several."
)
@click.option("--out", "-o", type=FILE, required=True, help="The file to write.")
def new(
    name: str, prefix: str, homes: tuple[Path, ...], modules: tuple[str, ...], balances: tuple[str, ...], out: Path
) -> None:
    """Write a complete chain spec.

    It has the standard modules, pinned to what is installed, with every parameter in view: edit it, then let
    armillary spec validate check it. The operators of the validators hold tokens.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; a spec is never overwritten")
    if not homes:
        raise UsageError("a chain needs a validator: --validator HOME, a folder made by armillary init")
    check_modules(modules, "--module")
    founders = [founder_of(home) for home in homes]
    held = {founder.operator: FOUNDER_BALANCE for founder in founders} | dict(_balance(b, prefix) for b in balances)
    made = make_spec(name, founders, held, prefix=prefix, modules=(*STANDARD_MODULES, *modules))
    resolved = resolve(made)
    _started(resolved)
    write_atomically(out, render_spec(made).encode())
    click.echo(f"wrote {out}: chain {name}, genesis {resolved.genesis_hash.hex()}")


@spec.command()
@click.argument("file", type=FILE)
def validate(file: Path) -> None:
    """Check FILE as a node would.

    Checked are its form, its modules and their versions, and the state that it makes at height 0.
    """
    resolved = resolve(read_spec(file))
    application = _started(resolved)
    power = sum(validator.power for validator in application.validators())
    click.echo(f"valid: genesis {resolved.genesis_hash.hex()}, {len(resolved.modules)} modules, voting power {power}")


@spec.command()
@click.argument("file", type=FILE)
def show(file: Path) -> None:
    """Print what FILE says, for people."""
    read = read_spec(file)
    resolved = resolve(read)
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
    for validator in _started(resolved).validators():
        click.echo(f"validator  {validator.public_key.hex()}  power {validator.power}")


def _started(resolved: ResolvedChain) -> Application:
    """The chain at height 0, in memory."""
    application = Application(resolved.genesis, resolved.modules, MemoryStore())
    application.start()
    application.check_invariants()
    return application


def _balance(text: str, prefix: str) -> tuple[AccountId, int]:
    address, equals, amount = text.partition("=")
    if not equals or not (amount.isascii() and amount.isdigit()):
        raise UsageError(f"--balance {text!r}: write ADDRESS=AMOUNT with a whole number")
    try:
        return AccountId(decode_address(address, prefix)), int(amount)
    except Bech32mError as error:
        raise UsageError(f"--balance {text!r}: {error}") from None
