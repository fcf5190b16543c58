"""armillary spec entry, add-validator, add-account: several people found a chain, each with keys of their own."""

from __future__ import annotations

from pathlib import Path

import click

from chain_spec import ChainSpec, SpecError, read_chain, render_spec, resolve
from chain_spec.ceremony import ENTRY_BYTES_MAX, add_balance, make_entry, parse_entry, render_entry, unit_in
from chain_spec.ceremony import add_validator as with_validator
from chain_spec.fitting import no_validators
from chain_spec.presets import FEE_DENOM
from chain_spec.start import start_in_memory
from runtime.bech32m import Bech32mError, decode_address
from runtime.errors import UsageError
from runtime.limits import VOTING_POWER_TOTAL_MAX
from runtime.node.files import write_atomically
from runtime.types import AccountId
from tools.cli.amounts import Unit, base_units
from tools.cli.founders import founder_of
from tools.cli.home import VALIDATOR_KEY
from tools.cli.keyring import Keyring
from tools.cli.options import FILE, Whole

DIGITS_MAX = 40
POWER = 10
SPEC = click.argument("spec", metavar="SPEC", type=FILE)


@click.command()
@SPEC
@click.option(
    "--home",
    required=True,
    metavar="HOME",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Your node's folder, made by armillary init.",
)
@click.option(
    "--power",
    type=Whole(1, VOTING_POWER_TOTAL_MAX),
    default=POWER,
    show_default=True,
    help="The voting power that you ask for.",
)
@click.option("--out", "-o", type=FILE, required=True, help="The file to write.")
def entry(spec: Path, home: Path, power: int, out: Path) -> None:
    """Write your entry as a founding validator of the draft SPEC.

    It holds public things only: validator key, operator, peer id, voting power, signed with the validator key, for this
    draft and no other. Hand the file to the other founders; armillary spec add-validator takes it.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; an entry is never overwritten")
    draft, _ = read_chain(spec)
    founder = founder_of(home)
    made = make_entry(draft, Keyring(home).open(VALIDATOR_KEY), founder.operator, founder.peer_id, power)
    write_atomically(out, render_entry(made, draft.address_prefix).encode())
    click.echo(f"wrote {out}: validator {made.public_key.hex()}, power {power}, for terms {made.terms.hex()}")


@click.command(name="add-validator")
@SPEC
@click.option(
    "--validator", "files", metavar="FILE", type=FILE, multiple=True, required=True,
    help="The entry of a validator, made by armillary spec entry. Repeat for several.",
)  # fmt: skip
def add_validator(spec: Path, files: tuple[Path, ...]) -> None:
    """Add founding validators to SPEC, by the entries that they made.

    Every entry is checked to be for this draft and signed by its key. In whatever order entries come, the same ones
    make the same chain. SPEC is changed only where all of them are right.
    """
    made, _ = read_chain(spec)
    for file in files:
        try:
            made = with_validator(made, parse_entry(_entry_bytes(file), made.address_prefix))
        except SpecError as error:
            raise UsageError(f"{file}: {error}") from None
    _write(spec, made)


@click.command(name="add-account")
@SPEC
@click.argument("address")
@click.argument("amount")
@click.option("--denom", default=FEE_DENOM, show_default=True, help="The denomination.")
def add_account(spec: Path, address: str, amount: str, denom: str) -> None:
    """Let the account ADDRESS hold AMOUNT at height 0.

    AMOUNT is base units, or like 1.5ARM where SPEC gives the denomination a symbol. SPEC is changed, and only where the
    result is right. An account that holds some of the denomination already is an error.
    """
    read, _ = read_chain(spec)
    try:
        account = AccountId(decode_address(address, read.address_prefix))
    except Bech32mError as error:
        raise UsageError(f"ADDRESS {address[:90]!r}: {error}") from None
    _write(spec, add_balance(read, account, denom, _base_units(amount, denom, read)))


def _base_units(text: str, denom: str, spec: ChainSpec) -> int:
    """Raises UsageError."""
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX:
        return int(text)
    unit = unit_in(spec, denom)
    if unit is None:
        raise UsageError(f"AMOUNT {text[:60]!r}: write base units; the spec gives {denom!r} no symbol")
    return base_units(text, denom, Unit(*unit), "AMOUNT")


def _write(path: Path, made: ChainSpec) -> None:
    """Raises SpecError and leaves the file as it is where the chain could not start with it."""
    chain = resolve(made)
    validators = () if no_validators(made) else start_in_memory(chain).validators()
    write_atomically(path, render_spec(made).encode())
    click.echo(f"wrote {path}: genesis {chain.genesis_hash.hex()}, validators: {len(validators) or 'none yet'}")


def _entry_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(ENTRY_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}; armillary spec entry makes one") from None
