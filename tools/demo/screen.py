"""How the demo looks in a terminal: sentences, images with what the chain says they are, the network's roots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.demo.pictures import Image, draw, draw_grey, side_by_side
from tools.demo.result import Result

IMAGES_PER_ROW_MAX = 5
GAP = "  "


class Screen:
    """Writes to standard output as things happen."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._row: list[tuple[list[Text], Text]] = []

    def say(self, sentence: str) -> None:
        """One thing that happened."""
        self.flush()
        self.console.print(Text.assemble(("● ", "cyan"), sentence))

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Something that takes a while: a spinner on a terminal, a line elsewhere."""
        self.flush()
        if self.console.is_terminal:
            with self.console.status(what + " ..."):
                yield
        else:
            self.console.print(Text(f"  {what} ..."))
            yield

    def prediction(self, image: Image, predicted: int, label: int, finality_ms: float | None) -> None:
        """An image, the chain's verdict beside the truth, and how long it took to be final."""
        right = predicted == label
        caption = Text.assemble(
            (f"{predicted} ", "bold green" if right else "bold red"),
            f"is {label}",
            "" if finality_ms is None else f", {finality_ms:.0f}ms",
        )
        picture = draw_grey(image) if self.console.color_system else draw(image)
        if self._row and not self._fits(picture, caption):
            self.flush()
        self._row.append((picture, caption))

    def _fits(self, picture: list[Text], caption: Text) -> bool:
        cells = [*self._row, (picture, caption)]
        widths = [max(line.cell_len for line in (*lines, below)) for lines, below in cells]
        return len(cells) <= IMAGES_PER_ROW_MAX and sum(widths) + len(GAP) * (len(cells) - 1) <= self.console.width

    def height(self, status: dict[str, Any], up: int, of: int) -> None:
        """Where the chain is."""
        self.flush()
        root = status["state_root"][:32]
        self.console.print(
            Text(f"  height {status['height']}, state root {root}..., {up} of {of} validators up", "dim")
        )
        self.console.print()

    def flush(self) -> None:
        """Show a row that is not full."""
        if self._row:
            pictures, captions = zip(*self._row, strict=True)
            for line in side_by_side(list(pictures), list(captions), gap=GAP):
                self.console.print(line, no_wrap=True, overflow="crop")
            self._row = []

    def nodes(self, statuses: list[tuple[str, dict[str, Any]]]) -> None:
        """A table of the network: heights, roots, peers."""
        self.flush()
        table = Table(box=None, pad_edge=False)
        for column in ("validator", "height", "state root", "peers"):
            table.add_column(column)
        for name, status in statuses:
            table.add_row(name, str(status["height"]), status["state_root"][:32] + "...", str(status["peers"]))
        self.console.print(table)

    def summary(self, result: Result) -> None:
        """The end: what was measured, what held, what did not."""
        table = Table(box=None, show_header=False, pad_edge=False)
        rows = {
            "accuracy on chain": f"{result.accuracy_on_chain:.2%} (float model: {result.accuracy_float:.2%})",
            "largest output error": f"{result.output_error_max:.1e} beside the float model's probabilities",
            "bit for bit": _yes(result.outputs_equal_offline) + ", on chain = engine = reference interpreter",
            "finality": f"p50 {result.finality_ms['p50']:.0f} ms, p99 {result.finality_ms['p99']:.0f} ms",
            "throughput": f"{result.transactions_per_second:.1f} transactions per second, one inference each",
            "state roots": f"{len(set(result.state_roots))} distinct among {len(result.state_roots)} "
            f"validators at height {result.height}",
            "killed validator": "none: a chain of fewer than four has none to spare"
            if result.killed_validator_caught_up is None
            else _yes(result.killed_validator_caught_up) + ", caught up to the same root",
            "decision certificate": _yes(result.certificate_verified) + ", verified offline",
            "time": f"{result.seconds:.0f} s",
        }
        self.console.print()
        for name, value in rows.items():
            table.add_row(Text(name, "bold"), value)
        self.console.print(table)
        for sentence in result.failures():
            self.console.print(Text.assemble(("failed: ", "bold red"), sentence))
        if not result.failures():
            self.console.print(Text("all of it held", "bold green"))


def _yes(held: bool) -> str:
    return "yes" if held else "NO"
