"""armillary certificate, verify-certificate: decision certificates."""

from __future__ import annotations

from pathlib import Path

import click

from chain_spec import read_spec, resolve
from runtime.errors import UsageError
from runtime.node.files import write_atomically
from tools.certificates import describe, verify_file
from tools.cli.output import progress
from tools.cli.tx import DEFAULT_NODE
from tools.client import NodeClient

CERTIFICATE_BYTES_MAX = 64 * 1024 * 1024
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("record", type=click.IntRange(0))
@click.option("--out", "-o", type=FILE, required=True, help="The file to write.")
@click.option("--node", default=DEFAULT_NODE, envvar="ARMILLARY_NODE", show_default=True, help="The node's URL.")
def certificate(record: int, out: Path, node: str) -> None:
    """Fetch the decision certificate of inference RECORD: header, signatures, proof and record in one file.

    armillary verify-certificate checks the file offline, from the chain spec alone.
    """
    with NodeClient(node) as client:
        answer = client.get(f"/certificates/{record}")
    data = bytes.fromhex(answer["certificate"])
    write_atomically(out, data)
    click.echo(f"wrote {out}: record {record}, proven at height {answer['height']}, {len(data):,} bytes")


@click.command(name="verify-certificate")
@click.argument("file", type=FILE)
@click.option("--spec", type=FILE, required=True, help="The chain spec: all that is trusted.")
def verify(file: Path, spec: Path) -> None:
    """Check that FILE proves its decision, offline, trusting nothing but the chain spec. Says which part fails."""
    read = read_spec(spec)
    try:
        with file.open("rb") as opened:
            data = opened.read(CERTIFICATE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    if len(data) > CERTIFICATE_BYTES_MAX:
        raise UsageError(f"{file}: a certificate has at most {CERTIFICATE_BYTES_MAX:,} bytes")
    with progress(f"verifying {file.name}"):
        decision, record = verify_file(data, resolve(read))
    click.echo(click.style("proven", fg="green") + f" on chain {read.name}, from its spec alone")
    for line in describe(decision, record, read.address_prefix):
        click.echo(line)
