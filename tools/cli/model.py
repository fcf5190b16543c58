"""armillary model: from a float ONNX file to a proven exact-grid graph, and onto the chain."""

from __future__ import annotations

import json
import re
from math import inf
from pathlib import Path

import click

from chain_spec.presets import FEE_DENOM
from modules.registry.protocol import Card
from runtime.errors import UsageError
from runtime.inference import Engine, model_hash, verify
from tools.cli.arguments import typed
from tools.cli.groups import Listed
from tools.cli.keyring import Keyring
from tools.cli.options import HOME_OF_KEYS, KEY, NODE
from tools.cli.output import progress
from tools.cli.registered import describe_model
from tools.cli.rows import read_rows
from tools.client import NodeClient, NodeError
from tools.lowering import check_agreement, check_error, dequantize, report_lines, report_page
from tools.lowering import lower as lower_model
from tools.lowering.parse import decode
from tools.lowering.tensors import load_tensors, save_tensors
from tools.registration import register
from tools.transactions import Sender

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
OUT = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Listed)
def model() -> None:
    """Lower, verify, run and register models."""


@model.command()
@click.argument("source", type=FILE)
@click.option("--out", "-o", type=OUT, help="Where to write the graph; SOURCE with the ending .graph if not given.")
@click.option("--calibration", type=FILE, help="Typical inputs (.npz, .npy or JSON): ranges are taken from them.")
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="NAME=LOW:HIGH",
    help="The values of an input, in place of calibration's.",
)
@click.option("--shape", "shapes", multiple=True, metavar="NAME=D,D,...", help="An input's shape; N is the batch.")
@click.option(
    "--agreement",
    "wanted",
    default=0.99,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="The share of compared rows in which the float model must give the same class.",
)
@click.option(
    "--error",
    "error_max",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0),
    help="The largest error of an output, as a share of the float model's largest value of it.",
)
@click.option(
    "--allow-disagreement", is_flag=True, help="Write the graph even if fewer rows agree, or errors are larger."
)
@click.option(
    "--precise", is_flag=True, help="Give up no bits for speed: up to twice the time, a fraction of the error."
)
@click.option("--json", "json_file", type=OUT, help="Write the report as JSON, also where the models disagree.")
@click.option("--report", "page", type=OUT, help="Draw the report as one HTML page, also where the models disagree.")
def lower(
    source: Path, out: Path | None, calibration: Path | None, ranges: tuple[str, ...], shapes: tuple[str, ...],
    wanted: float, error_max: float, allow_disagreement: bool, precise: bool, json_file: Path | None, page: Path | None,
) -> None:  # fmt: skip
    """Compile the float ONNX model SOURCE into an exact-grid graph and print what was done.

    The result is compared with the float model on the calibration rows, or on random ones without. Where fewer rows
    agree than asked, or an output errs by more, no graph is written and the exit code is 1.
    """
    target = out or source.with_suffix(".graph")
    if target.resolve() == source.resolve():
        raise UsageError(f"--out {target} is the source itself")
    data = source.read_bytes()
    with progress(f"lowering {source.name}"):
        lowered = lower_model(
            data,
            shapes=dict(_shape(text) for text in shapes) or None,
            calibration=load_tensors(calibration, name=_only_input(data), texts=True) if calibration else None,
            ranges=dict(_range(text) for text in ranges) or None,
            precise=precise,
        )
    for line in report_lines(lowered.report):
        click.echo(line)
    if json_file:
        json_file.write_text(json.dumps(lowered.report.as_dict(), indent=2) + "\n", encoding="utf-8")
    if page:
        page.write_text(report_page(lowered.report, source.name), encoding="utf-8")
    if not allow_disagreement:
        check_agreement(lowered.report, wanted)
        check_error(lowered.report, error_max)
    target.write_bytes(lowered.model)
    click.echo(f"wrote {target} ({len(lowered.model):,} bytes), model hash {model_hash(lowered.model).hex()}")


def _only_input(data: bytes) -> str | None:
    """The name of the model's input, where it has one: a calibration file need not say it then."""
    inputs = decode(data).graph.input
    return inputs[0].name if len(inputs) == 1 else None


@model.command(name="verify")
@click.argument("graph", type=FILE)
def verify_command(graph: Path) -> None:
    """Prove that GRAPH gives the same bits everywhere, or say which node breaks which rule. Prints the cost."""
    data = graph.read_bytes()
    with progress(f"verifying {graph.name}"):
        verified = verify(data)
    cost = verified.cost
    click.echo(f"proven exact  {model_hash(data).hex()}")
    click.echo(f"gas           load {cost.gas_load:,}, fixed {cost.gas_fixed:,}, per row {cost.gas_per_row:,}")
    click.echo(f"memory        {cost.memory_bytes:,} bytes")


@model.command()
@click.argument("graph", type=FILE)
@click.argument("inputs", type=FILE)
@click.option("--out", "-o", type=OUT, help="Write the outputs as JSON instead of printing them.")
@click.option("--fixed-point", is_flag=True, help="INPUTS are the graph's integers already; print integers.")
def run(graph: Path, inputs: Path, out: Path | None, fixed_point: bool) -> None:
    """Run GRAPH on INPUTS (.npz, .npy or JSON of real numbers) as a validator would."""
    data = graph.read_bytes()
    verified = verify(data)
    outputs = Engine().run(data, read_rows(inputs, verified.inputs, fixed_point=fixed_point))
    read = outputs if fixed_point else dequantize(verified.outputs, outputs)
    shown = {name: array.tolist() for name, array in read.items()}
    text = json.dumps(shown, indent=2)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    else:
        click.echo(text)


@model.command()
@click.argument("graph", type=FILE)
@click.argument("inputs", type=FILE)
@click.option("--out", "-o", type=OUT, required=True, help="The file of integers to write (.npz or .json).")
@click.option("--rows", "count", type=click.IntRange(1), help="Only so many rows, from the first on.")
def quantize(graph: Path, inputs: Path, out: Path, count: int | None) -> None:
    """Round the real numbers in INPUTS to GRAPH's input grids: what `armillary tx oracle infer --inputs` takes."""
    rows = read_rows(inputs, verify(graph.read_bytes()).inputs, fixed_point=False)
    rows = {name: array[:count] for name, array in rows.items()}
    save_tensors(out, rows)
    click.echo(f"wrote {out}: " + ", ".join(f"{name} {' x '.join(map(str, a.shape))}" for name, a in rows.items()))


@model.command(name="hash")
@click.argument("graph", type=FILE)
def hash_command(graph: Path) -> None:
    """Print the hash by which the chain knows GRAPH."""
    click.echo(model_hash(graph.read_bytes()).hex())


@model.command(name="register")
@click.argument("graph", type=FILE)
@KEY
@HOME_OF_KEYS
@NODE
@click.option("--title", help="What people call the model; the file's name if not given.")
@click.option("--version", default="1", show_default=True, help="Of the model, for people.")
@click.option("--licence", required=True, help="Its SPDX identifier, for example CC-BY-4.0.")
@click.option("--parent", "parents", multiple=True, help="Hash of a registered model that this one was made from.")
@click.option("--price", default=0, type=click.IntRange(0, (1 << 96) - 1), show_default=True, help="Of one row.")
@click.option("--denom", default=FEE_DENOM, show_default=True, help="The denomination of the price.")
def register_command(
    graph: Path, key: str, home: Path, node: str, title: str | None, version: str, licence: str,
    parents: tuple[str, ...], price: int, denom: str,
) -> None:  # fmt: skip
    """Put GRAPH on the chain: upload it in transactions, have every validator verify it, own it."""
    data = graph.read_bytes()
    terms = {"denom": denom, "amount": price}
    facts = {"title": title or graph.stem, "version": version, "licence": licence, "parents": list(parents)}
    with NodeClient(node) as client:
        sender = Sender(client, Keyring(home).open(key))
        card = typed(Card, {**facts, "remarks": [], "price": terms}, sender.chain.prefix)
        with progress(f"registering {graph.name}"):
            register(sender, data, card, lambda step, outcome: click.echo(f"block {outcome['height']}: {step}"))
    click.echo(f"registered {model_hash(data).hex()}")


@model.command()
@click.argument("graph", metavar="GRAPH|HASH")
@NODE
@click.option("--json", "as_json", is_flag=True, help="Print the chain's whole answer about HASH as JSON.")
def show(graph: str, node: str, as_json: bool) -> None:
    """Print what a graph file holds, or what the chain knows of the registered model HASH."""
    if re.fullmatch("[0-9a-f]{64}", graph):
        with NodeClient(node) as client:
            _show_registered(client, graph, as_json=as_json)
        return
    if as_json:
        raise UsageError("--json is for what the chain knows of a HASH; a graph file is shown in words")
    data = Path(graph).read_bytes()
    verified = verify(data)
    decoded = verified.graph
    click.echo(f"model      {model_hash(data).hex()}  ({len(data):,} bytes, graph version {decoded.version})")
    click.echo(f"source     {decoded.source_hash.hex()}  (the float model), lowered by {decoded.lowering_version}")
    for title, specs in (("input", verified.inputs), ("output", verified.outputs)):
        for spec in specs:
            shape = " x ".join(["N", *map(str, spec.shape)])
            low, high = (bound * 2.0**-spec.frac_bits for bound in (spec.low, spec.high))
            click.echo(f"{title:<10} {spec.name}: {shape}, {spec.frac_bits} fractional bits, {low:g} to {high:g}")
    if decoded.labels:
        click.echo(f"labels     {', '.join(decoded.labels)}")
    click.echo(f"nodes      {' '.join(type(node).__name__ for node in decoded.nodes)}")


def _show_registered(client: NodeClient, name: str, *, as_json: bool) -> None:
    found = client.query("registry", "model", model=name)
    if found is None:
        raise NodeError(f"no model {name} is registered on this chain", 404)
    for line in [json.dumps(found, indent=2)] if as_json else describe_model(name, found):
        click.echo(line)


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, _, bounds = text.rpartition("=")
    low, colon, high = bounds.partition(":")
    try:
        found = (float(low), float(high))
    except ValueError:
        found = (1.0, 0.0)
    if not name or not colon or not -inf < found[0] <= found[1] < inf:
        raise UsageError(f"--range {text!r}: write NAME=LOW:HIGH with two numbers, the least and the greatest")
    return name, found


def _shape(text: str) -> tuple[str, tuple[int | None, ...]]:
    name, equals, dimensions = text.partition("=")
    parts = dimensions.split(",")
    if not name or not equals or any(part != "N" and not (part.isascii() and part.isdigit()) for part in parts):
        raise UsageError(f"--shape {text!r}: write NAME=N,3,224,224 with N for the batch")
    return name, tuple(None if part == "N" else int(part) for part in parts)
