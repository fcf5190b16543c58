"""Options that several commands share, and the types of option values. Every option's help is one clear phrase."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from runtime.bech32m import is_prefix
from tools.cli.keyring import default_home

DEFAULT_NODE: Final = "http://127.0.0.1:8400"
AMOUNT_MAX: Final = (1 << 128) - 1

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


class Whole(click.ParamType[int]):
    """A whole number within bounds, in decimal digits. The bounds are said when they are broken, not in every help."""

    name = "number"

    def __init__(self, low: int = 0, high: int | None = None) -> None:
        self.low = low
        self.high = high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. A usage error for other text, or beyond the bounds."""
        text = str(value)
        if not re.fullmatch("[0-9]{1,80}", text, re.ASCII):
            self.fail(f"{text[:80]!r} is no whole number", param, ctx)
        number = int(text)
        if number < self.low or (self.high is not None and number > self.high):
            most = "" if self.high is None else f" and at most {self.high}"
            self.fail(f"{number} is not at least {self.low}{most}", param, ctx)
        return number


class Amount(click.ParamType[int | str]):
    """Base units as a whole number, or an amount with its symbol as text: what it is worth, the chain says."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number or the text. A usage error for what is neither, or beyond 128 bits."""
        text = str(value)
        if re.fullmatch(r"[0-9]{1,40}(\.[0-9]{1,40})?[A-Z][A-Z0-9]*", text, re.ASCII):
            return text
        if not re.fullmatch("[0-9]{1,80}", text, re.ASCII):
            self.fail(f"{text[:80]!r} is no whole number of base units, and no amount like 1.5ARM", param, ctx)
        return Whole(0, AMOUNT_MAX).convert(text, param, ctx)


class Prefix(click.ParamType[str]):
    """The prefix of a chain's addresses."""

    name = "prefix"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The prefix as given. A usage error where it can be none."""
        text = str(value)
        if not is_prefix(text):
            self.fail(f"{text[:80]!r} is not 1 to 16 of a-z and 0-9, a letter first", param, ctx)
        return text


HOME_OF_KEYS = click.option(
    "--home",
    type=FOLDER,
    metavar="HOME",
    default=default_home,
    help="Folder of keys; $ARMILLARY_HOME or ~/.armillary.",
)
KEY = click.option("--key", required=True, metavar="NAME", help="The key that signs.")
NODE = click.option(
    "--node",
    metavar="URL",
    default=DEFAULT_NODE,
    envvar="ARMILLARY_NODE",
    show_default=True,
    help="The node to ask; $ARMILLARY_NODE.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the node's answer as JSON.")
ARGUMENTS = click.option("--args", "file", type=FILE, help="Arguments as a JSON object; options win over it.")
