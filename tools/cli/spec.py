"""armillary spec: chain specs."""

from __future__ import annotations

from pathlib import Path

import click

from chain_spec import ResolvedChain, make_spec, read_spec, render_spec, resolve
from chain_spec.presets import FOUNDER_BALANCE, STANDARD_MODULES
from runtime.bech32m import DEFAULT_PREFIX, Bech32mError, decode_address
from runtime.errors import UsageError
from runtime.execution import Application
from runtime.node.files import write_atomically
from runtime.state import MemoryStore
from runtime.types import AccountId
from tools.cli.founders import founder_of

SPEC = click.Path(path_type=Path, dir_okay=False)


@click.group()
def spec() -> None:
    """Make, check and show chain specs."""


@spec.command()
@click.option("--name", default="my_chain", show_default=True, help="The chain's name, for people.")
@click.option("--prefix", default=DEFAULT_PREFIX, show_default=True, help="The prefix of the chain's addresses.")
@click.option(
    "--validator",
    "homes",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The home of a node made by `armillary init`: it validates from height 1 on. Repeat for several.",
)
@click.option("--module", "modules", multiple=True, help="Also compose this installed module. Repeat for several.")
@click.option("--balance", "balances", multiple=True, metavar="ADDRESS=AMOUNT", help="Base units of arm at height 0.")
@click.option("--out", "-o", type=SPEC, required=True, help="The file to write.")
def new(
    name: str, prefix: str, homes: tuple[Path, ...], modules: tuple[str, ...], balances: tuple[str, ...], out: Path
) -> None:
    """Write a complete chain spec: the standard modules, pinned to what is installed, every parameter in view."""
    if out.exists():
        raise UsageError(f"{out} exists already; a spec is never overwritten")
    if not homes:
        raise UsageError("a chain needs a validator: --validator HOME, a folder made by armillary init")
    founders = [founder_of(home) for home in homes]
    held = {founder.operator: FOUNDER_BALANCE for founder in founders} | dict(_balance(b, prefix) for b in balances)
    made = make_spec(name, founders, held, prefix=prefix, modules=(*STANDARD_MODULES, *modules))
    resolved = resolve(made)
    write_atomically(out, render_spec(made).encode())
    click.echo(f"wrote {out}: chain {name}, genesis {resolved.genesis_hash.hex()}")


@spec.command()
@click.argument("file", type=SPEC)
def validate(file: Path) -> None:
    """Check FILE as a node would: its form, its modules and their pins, the state at height 0."""
    resolved = resolve(read_spec(file))
    application = _started(resolved)
    power = sum(validator.power for validator in application.validators())
    click.echo(f"valid: genesis {resolved.genesis_hash.hex()}, {len(resolved.modules)} modules, voting power {power}")


@spec.command()
@click.argument("file", type=SPEC)
def show(file: Path) -> None:
    """Print what FILE says, for people."""
    read = read_spec(file)
    resolved = resolve(read)
    click.echo(f"chain      {read.name}, addresses {read.address_prefix}1..., genesis {resolved.genesis_hash.hex()}")
    bounds = read.consensus
    click.echo(
        f"blocks     {bounds.block_gas_max:,} gas, {bounds.block_bytes_max:,} bytes, an empty one every "
        f"{bounds.empty_block_interval_ms / 1000:g} s"
    )
    click.echo(f"fees       {read.fees.units} for every {read.fees.per_gas:,} gas")
    click.echo(f"roles      {', '.join(f'{role}: {name}' for role, name in read.roles.model_dump().items())}")
    for chosen, module in zip(read.modules, resolved.modules, strict=True):
        summary = module.metadata().docs.partition("\n")[0]
        click.echo(f"module     {chosen.name:<12} version {module.metadata().version}  {summary}")
    for validator in _started(resolved).validators():
        click.echo(f"validator  {validator.public_key.hex()} power {validator.power}")


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
