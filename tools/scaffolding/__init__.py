"""What `armillary new` writes: template files in module/ and chain/, and the one way in which they are filled in.

A template is a file with the ending .template; `@name@`, `@Class@` and the like in it and in its path are replaced.
Lives here: names that are possible, rendering, writing. Must not: a template engine, or any text of a template.
"""

from __future__ import annotations

import keyword
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from chain_spec import plugins
from runtime.errors import UsageError
from runtime.module.body import NAME_CHARACTERS_MAX
from runtime.types import IDENTIFIER

ENDING: Final = ".template"
_FOLDER: Final = Path(__file__).parent


def check_name(name: str) -> None:
    """Raises UsageError where no module or chain can be called so."""
    if len(name) > NAME_CHARACTERS_MAX or not re.fullmatch(IDENTIFIER, name, re.ASCII):
        raise UsageError(
            f"{name[:80]!r} is no name: lower case letters, digits and _, a letter first, at most "
            f"{NAME_CHARACTERS_MAX} characters"
        )


def check_module_name(name: str) -> None:
    """Raises UsageError where a package and module of that name would meet another."""
    check_name(name)
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise UsageError(f"{name!r} is a word of Python's own: choose another name")
    if name in plugins.installed():
        raise UsageError(f"an installed package offers the module {name!r} already: choose another name")
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise UsageError(f"Python imports another package as {name!r}: choose another name")


def class_name(name: str) -> str:
    """The class of a module: "price_feed" is PriceFeed."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def render(kind: str, marks: Mapping[str, str]) -> dict[Path, str]:
    """The files of a template folder, by path, with each `@mark@` replaced."""
    folder, found = _FOLDER / kind, {}
    for file in sorted(folder.rglob(f"*{ENDING}")):
        path = str(file.relative_to(folder)).removesuffix(ENDING)
        found[Path(_filled(path, marks))] = _filled(file.read_text(encoding="utf-8"), marks)
    return found


def write(folder: Path, files: Mapping[Path, str]) -> None:
    """All of them, in a new folder, or nothing. Raises UsageError where it exists."""
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists already: choose another name, or --dir")
    try:
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _filled(text: str, marks: Mapping[str, str]) -> str:
    for mark, value in marks.items():
        text = text.replace(f"@{mark}@", value)
    return text
