"""armillary certificate, verify-certificate: decision certificates, and replays of what they prove."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from chain_spec import read_spec, resolve
from modules.oracle.protocol import Record
from runtime.errors import UsageError
from runtime.light import is_query_proof
from runtime.node.files import write_atomically
from tools.certificates import describe, shown, verify_file
from tools.cli.options import FILE, NODE, Whole
from tools.cli.output import progress
from tools.client import NodeClient
from tools.query_proofs import describe_answer, verify_query_file

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
        labelled = client.query("oracle", "labelled", id=record, height=height)
    write_atomically(out, data)
    click.echo(f"wrote {out}: record {record}, proven at height {height}, {len(data):,} bytes")
    if labelled:
        click.echo(f"decided: {shown(labelled['labels'])}  (the names are the model's; --replay proves them)")


@click.command(name="verify-certificate")
@click.argument("file", type=FILE)
@click.option("--spec", type=FILE, required=True, help="The chain spec: all that is trusted.")
@click.option(
    "--replay",
    "given",
    type=(FILE, FILE),
    metavar="MODEL INPUT",
    help="Run the graph file MODEL on the rows in INPUT too.",
)
def verify(file: Path, spec: Path, given: tuple[Path, Path] | None) -> None:
    """Check that FILE, a decision certificate or a query's proof, proves what it says. Offline.

    Nothing is trusted but the chain spec and, to answer a query again, the modules that it names. Prints what is
    proven, or says which part of FILE fails.

    With --replay the decision is made again on this machine: MODEL is the graph's file, INPUT its rows (.npz, .npy or
    JSON): the integers that the transaction had, or real numbers, which are rounded to the graph's grids as
    armillary model quantize does. Both must be the record's by their hashes, and the outputs the same bit for bit.
    """
    read = read_spec(spec)
    data = _read(file, CERTIFICATE_BYTES_MAX, "a certificate")
    if is_query_proof(data):
        if given is not None:
            raise UsageError(f"--replay: {file} is a query's proof, which runs no model: leave it out")
        with progress(f"verifying {file.name}"):
            lines = describe_answer(verify_query_file(data, resolve(read)))
    else:
        with progress(f"verifying {file.name}"):
            decision, record = verify_file(data, resolve(read))
        lines = describe(decision, record, read.address_prefix)
        if given is not None:
            with progress("replaying the decision"):
                lines += _replay(record, *given)
    click.echo(click.style("proven", fg="green") + f" on chain {read.name}, from its spec alone")
    for line in lines:
        click.echo(line)


def _replay(record: Record, model: Path, inputs: Path) -> Iterator[str]:
    """What a replay shows, a line each. Raises ReplayFailed naming the part that disagrees."""
    from runtime.inference.limits import MODEL_BYTES_MAX  # these bring onnxruntime: only for a replay
    from tools.cli.rows import read_rows
    from tools.replay import check_model, replay

    graph = _read(model, MODEL_BYTES_MAX, "a model")
    rows = read_rows(inputs, check_model(record, graph).inputs, fixed_point=None)
    classes = replay(record, graph, rows)
    yield f"replayed     by onnxruntime {version('onnxruntime')} on this machine: the same bits"
    if classes:
        yield f"classes      {shown(classes)}"


def _read(file: Path, limit: int, what: str) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    if len(data) > limit:
        raise UsageError(f"{file}: {what} has at most {limit:,} bytes")
    return data
