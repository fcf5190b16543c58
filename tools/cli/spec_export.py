"""armillary spec export: a new chain's spec from the state of a chain that there is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from chain_spec import read_spec, render_spec, resolve
from chain_spec.export import export_chain, spec_of
from chain_spec.files import SPEC_BYTES_MAX
from chain_spec.late_engine import LateEngine
from chain_spec.start import start_in_memory
from runtime.errors import UsageError
from runtime.execution import Application
from runtime.node.config_file import read_config
from runtime.node.files import FileLock, write_atomically
from runtime.node.home import NodeHome
from runtime.state import Retention
from runtime.state.disk import DiskStore
from tools.cli.options import FILE, Whole
from tools.cli.output import progress
from tools.scaffolding import check_name


@click.command()
@click.option(
    "--home",
    required=True,
    metavar="HOME",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of a node of the chain that does not run at the moment.",
)
@click.option("--name", required=True, help="What people will call the new chain.")
@click.option("--height", type=Whole(), help="The state after this block; the last one if left out.")
@click.option("--out", "-o", type=FILE, required=True, help="The file to write.")
def export(home: Path, name: str, height: int | None, out: Path) -> None:
    """Write the spec of a new chain that goes on from the state of the chain in HOME.

    It holds everything: accounts, balances, validators, models with their bytes, records, proposals, parameters. Its
    heights begin anew. Nothing in HOME is changed.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; a spec is never overwritten")
    check_name(name)
    with ExitStack() as opened, progress("exporting"):
        config = read_config(home)
        node = NodeHome(home, config)
        state = node.data / "state"
        if not state.is_dir():
            raise UsageError(f"{state}: there is no state; name the folder of a node that has run")
        opened.enter_context(FileLock(node.data / "node.lock"))
        founded = read_spec(home / config.spec)
        chain = resolve(founded)
        store = DiskStore(state, retention=Retention(config.state.history_heights, config.state.history_bytes_max))
        opened.callback(store.close)
        application = Application(chain.genesis, chain.modules, store, engine=LateEngine())
        application.start()
        at = application.height if height is None else height
        made = spec_of(export_chain(application, name=name, height=at), chain.modules)
        text = render_spec(made.model_copy(update={"bootnodes": founded.bootnodes})).encode()
        if len(text) > SPEC_BYTES_MAX:
            raise UsageError(f"the spec would have {len(text):,} bytes; at most {SPEC_BYTES_MAX:,} are allowed")
        resolved = resolve(made)
        start_in_memory(resolved)
    write_atomically(out, text)
    click.echo(
        f"wrote {out}: chain {name}, genesis {resolved.genesis_hash.hex()}, from {founded.name} at height {at:,}"
    )
