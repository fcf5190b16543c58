"""A Report as one HTML page that needs nothing else: no script, no picture, no address.

At one glance: does the model still say the same, and which layer loses. Each computed tensor has a bar, its largest
error over the float model's largest value, on a logarithmic scale; those that add most to what they read are named on
top and marked in the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from math import log2
from typing import Final

from tools.lowering.losses import Loss, losses
from tools.lowering.report import LayerReport, OutputReport, Report

BITS_SHOWN: Final = 24
"""A bar of no length is an error of 2**-24 of the largest value, what float32 itself loses; a full one is 1."""
NAMED: Final = 3
_LEVELS: Final = ((2.0**-4, "bad"), (2.0**-8, "poor"), (2.0**-12, "fair"))


def report_page(report: Report, title: str) -> str:
    """The page. `title`: what people call the model."""
    style = files("tools.lowering").joinpath("report.css").read_text("utf-8")
    ranked = losses(report)
    parts = [
        f"<h1>{escape(title)}</h1>",
        _verdict(report),
        _cards(report),
        "<h2>Where it loses</h2>",
        *_worst(ranked),
        _layers(report, ranked),
        "<h2>Outputs beside the float model</h2>",
        _outputs(report.outputs),
        *_notes(report.notes),
        "<h2>Inputs</h2>",
        _table(("input", "shape", "grid", "takes"), [
            (_code(i.name), _shape(i.shape), _grid(i.frac_bits), f"{i.low:g} to {i.high:g}") for i in report.inputs
        ]),
        _details(report),
    ]  # fmt: skip
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}: exact beside float</title><style>{style}</style></head><body><main>"
    )
    return head + "\n".join(parts) + "</main></body></html>\n"


def _verdict(report: Report) -> str:
    rows, kind = f"{report.compared_rows:,}", "calibration" if report.calibration_rows else "random"
    if not report.compared_rows:
        return '<p class="verdict poor">The float model could not be run beside it.</p>'
    worst = max((_relative(o.error_max, o.magnitude) or 0.0 for o in report.outputs), default=0.0)
    agreement = report.agreement
    level = _level(worst) if agreement is None or agreement >= 0.999 else "poor" if agreement >= 0.99 else "bad"
    parts = [] if agreement is None else [f"<strong>{agreement:.2%}</strong> of {rows} {kind} rows agree"]
    if worst:
        parts.append(f"largest error <strong>{_share(worst)}</strong> of the largest output")
    return f'<p class="verdict {level}">{"; ".join(parts) or f"equal on {rows} {kind} rows"}</p>'


def _cards(report: Report) -> str:
    size = report.model_bytes / max(report.source_bytes, 1)
    cards = [
        (
            "gas per row",
            f"{report.gas_per_row:,}",
            f"{report.gas_fixed:,} per run, {report.gas_load:,} to load; proven",
        ),
        ("size", f"{report.model_bytes:,}", f"bytes, {size:.0%} of the float file's {report.source_bytes:,}"),
        ("memory", f"{report.memory_bytes:,}", "bytes for one row; proven"),
        ("nodes", f"{report.nodes:,}", f"of the float model's {len(report.source_nodes):,}"),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd><p>{more}</p></div>" for name, value, more in cards)
    return f'<dl class="cards">{items}</dl>'


def _worst(ranked: Sequence[Loss]) -> Iterator[str]:
    found = [loss for loss in ranked if loss.relative > 2.0**-BITS_SHOWN and loss.added > 0][:NAMED]
    if not found:
        yield "<p>No tensor is further from the float model than float32 itself would be.</p>"
        return
    yield "<ol class='worst'>"
    for loss in found:
        layer = loss.layer
        why = [f"{layer.dropped_bits} bits of its operand dropped"] if layer.dropped_bits else []
        if layer.saturated:
            why.append(f"{layer.saturated:.2%} of its values clipped")
        if layer.weight_bits and layer.weight_bits[0] < 16:
            why.append(f"weights of only {layer.weight_bits[0]} bits")
        times = f", {loss.times:.1f} times what it reads" if loss.times and loss.times < 1e6 else ""
        reason = f": {', '.join(why)}" if why else ""
        yield (
            f'<li class="{_level(loss.relative)}"><strong>{_code(layer.where)}</strong> errs by '
            f"<strong>{_share(loss.relative)}</strong> of its largest value{times}{reason}</li>"
        )
    yield "</ol>"


def _layers(report: Report, ranked: Sequence[Loss]) -> str:
    named = {loss.layer.tensor for loss in ranked[:NAMED] if loss.added > 0}
    rows = "".join(_layer(layer, layer.tensor in named) for layer in report.layers if layer.is_new)
    ticks = "".join(f"<span>{mark}</span>" for mark in ("2⁻²⁴", "2⁻¹⁸", "2⁻¹²", "2⁻⁶", "1"))
    heads = ("tensor", "made by", "", "largest error", "grid", "bits", "weights", "dropped", "clipped")
    titles = "".join(f'<th class="scale">{ticks}</th>' if not head else f"<th>{head}</th>" for head in heads)
    return (
        '<p class="key">Bars: largest error over the float model\'s largest value. '
        '<i class="good"></i> below 2⁻¹² <i class="fair"></i> below 2⁻⁸ <i class="poor"></i> below 2⁻⁴ '
        '<i class="bad"></i> above. Marked: what adds most.</p>'
        f'<div class="wide"><table class="layers"><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _layer(layer: LayerReport, named: bool) -> str:
    relative = _relative(layer.error_max, layer.magnitude)
    length = 0.0 if not relative else min(1.0, max(0.0, 1 + log2(relative) / BITS_SHOWN))
    bar = f'<td class="bar"><b class="{_level(relative or 0.0)}" style="width:{length:.1%}"></b></td>'
    weights = "" if layer.weight_bits is None else "&ndash;".join(dict.fromkeys(map(str, layer.weight_bits)))
    clipped = "" if layer.saturated is None else f"{layer.saturated:.2%}"
    error = "" if relative is None else _share(relative)
    cells = [
        f"<td>{_code(layer.tensor)}</td><td>{_code(layer.where)}</td>{bar}",
        *(_cell(text) for text in (error, _grid(layer.frac_bits), str(layer.bits), weights)),
        _cell(str(layer.dropped_bits or ""), "warn" if layer.dropped_bits > 8 else ""),
        _cell(clipped, "warn" if layer.saturated and layer.saturated > 0.001 else ""),
    ]
    return f"<tr{' class=named' if named else ''}>{''.join(cells)}</tr>"


def _outputs(outputs: Iterable[OutputReport]) -> str:
    rows = []
    for output in outputs:
        error = "" if output.error_max is None else f"{output.error_max:.2e}"
        mean = "" if output.error_mean is None else f"{output.error_mean:.2e}"
        bound = "none" if output.error_bound is None else f"{output.error_bound:.2e}"
        agreement = "" if output.agreement is None else f"{output.agreement:.2%}"
        what = "a class" if output.is_class else _grid(output.frac_bits)
        rows.append((_code(output.name), _shape(output.shape), what, error, mean, bound, agreement))
    return _table(("output", "shape", "grid", "largest error", "mean error", "proven bound", "agreement"), rows)


def _notes(notes: Sequence[str]) -> list[str]:
    return [f'<p class="note">{escape(note)}</p>' for note in notes]


def _details(report: Report) -> str:
    fates = _table(
        ("node of the float model", "became"), [(_code(n.where), escape(n.became)) for n in report.source_nodes]
    )
    hashes = _table(("", ""), [
        ("float model", f"<code>{report.source_hash}</code>"),
        ("exact model", f"<code>{report.model_hash}</code>"),
        ("lowered by", escape(report.lowering_version)),
        ("labels", escape(", ".join(report.labels)) or "none"),
    ])  # fmt: skip
    return f"<details><summary>What each node became, and hashes</summary>{hashes}{fates}</details>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="number {kind}">{text}</td>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _shape(shape: Sequence[int]) -> str:
    return " &times; ".join(["N", *map(str, shape)])


def _grid(frac_bits: int) -> str:
    if not frac_bits:
        return "1"
    return f"2<sup>{'&minus;' if frac_bits > 0 else ''}{abs(frac_bits)}</sup>"


def _relative(error: float | None, magnitude: float | None) -> float | None:
    return None if error is None or not magnitude else error / magnitude


def _level(relative: float) -> str:
    return next((name for least, name in _LEVELS if relative >= least), "good")


def _share(relative: float) -> str:
    return f"{relative:.2%}" if relative >= 0.001 else f"{relative:.1e}"
