"""The vault with one bug in each file that reading finds at once, and running only by luck, elsewhere, or later.

Lives here: which rule of the linter finds which bug. Nothing imports the files but tests: they are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOUND_BY_LINT: Final = {
    "asked_range": "ARM042",
    "big_power": "ARM003",
    "endless_while": "ARM041",
    "float_fee": "ARM001",
    "glued_key": "ARM060",
    "host_environment": "ARM022",
    "host_time": "ARM020",
    "number_from_text": "ARM004",
    "random_winner": "ARM021",
    "recursion": "ARM040",
    "salted_hash": "ARM011",
    "set_order": "ARM010",
    "shared_default": "ARM033",
    "stale_cache": "ARM030",
    "swallowed_error": "ARM050",
    "text_of_object": "ARM012",
    "true_division": "ARM002",
}


def source_of(name: str) -> Path:
    """The file with the bug of this name."""
    return Path(__file__).parent / f"{name}.py"
