"""armillary certificate, verify-certificate: decision certificates."""

from __future__ import annotations

from pathlib import Path

import click

from chain_spec import read_spec, resolve
from runtime.errors import UsageError
from runtime.node.files import write_atomically
from tools.certificates import describe, verify_file
from tools.cli.options import FILE, NODE, Whole
from tools.cli.output import progress
from tools.client import NodeClient

CERTIFICATE_BYTES_MAX = 64 * 1024 * 1024
U64_MAX = (1 << 64) - 1


@click.command()
@click.argument("record", type=Whole(0, U64_MAX))
@click.option("--out", "-o", type=FILE, required=True, help="The file to write.")
@NODE
def certificate(record: int, out: Path, node: str) -> None:
    """Fetch the decision certificate of the inference record of number RECORD.

    It is one file with header, signatures, proof and record; armillary verify-certificate checks it offline, from the
    chain spec alone.
    """
    with NodeClient(node) as client:
        data, height = client.certificate(record)
    write_atomically(out, data)
    click.echo(f"wrote {out}: record {record}, proven at height {height}, {len(data):,} bytes")


@click.command(name="verify-certificate")
@click.argument("file", type=FILE)
@click.option("--spec", type=FILE, required=True, help="The chain spec: all that is trusted.")
def verify(file: Path, spec: Path) -> None:
    """Check that FILE proves its decision, offline.

    Nothing is trusted but the chain spec. Prints what is proven, or says which part of FILE fails.
    """
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
