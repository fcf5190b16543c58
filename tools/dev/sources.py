"""Modules that are being written: where their classes are, their own source files, and importing these anew.

Lives here: importing what changes while this process runs. Must not: know chains.
"""

from __future__ import annotations

import importlib
import linecache
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from chain_spec import plugins
from runtime import Module
from runtime.errors import UsageError

OPTION = "--module"
FORMS = "NAME of an installed module, PACKAGE:CLASS or FILE.py:CLASS"


class Broken(Exception):
    """A source that does not load: one sentence, with file and line where these are known."""


@dataclass(frozen=True)
class Chosen:
    """A module's class in Python: `import_name`, found in `folder` where it is no installed package."""

    import_name: str
    class_name: str
    folder: Path | None = None

    @property
    def target(self) -> str:
        """As an entry point says it."""
        return f"{self.import_name}:{self.class_name}"


def choose(text: str) -> Chosen:
    """What `--module TEXT` names. Raises UsageError."""
    place, colon, class_name = text.rpartition(":")
    if not colon:
        if text.endswith(".py"):
            raise UsageError(f"{OPTION} {text}: say which class, {text}:CLASS")
        target = plugins.load(text, OPTION)
        return Chosen(target.__module__, target.__qualname__)
    if not class_name.isidentifier():
        raise UsageError(f"{OPTION} {text}: {class_name!r} is no class; write {FORMS}")
    if place.endswith(".py") or "/" in place:
        return _of_file(Path(place), class_name, text)
    if not re.fullmatch(r"\w+(\.\w+)*", place):
        raise UsageError(f"{OPTION} {text}: write {FORMS}")
    return Chosen(place, class_name)


def _of_file(file: Path, class_name: str, text: str) -> Chosen:
    file = file.resolve()
    if not file.is_file():
        raise UsageError(f"{OPTION} {text}: there is no file {file}; write {FORMS}")
    names, folder = [] if file.stem == "__init__" else [file.stem], file.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    if not names or not all(name.isidentifier() for name in names):
        raise UsageError(f"{OPTION} {text}: Python cannot import {file.name}: a name is letters, digits and _")
    if names[0] in sys.stdlib_module_names:
        raise UsageError(f"{OPTION} {text}: {names[0]} is a module of Python's own; rename the file")
    return Chosen(".".join(names), class_name, folder)


def own_files(chosen: Sequence[Chosen]) -> list[Path]:
    """The files that are imported anew when one of them changes: of a package, all in its folder; of a single file, it
    and those beside it. Files that are not there any more are left out."""
    found: set[Path] = set()
    for each in chosen:
        top = each.import_name.partition(".")[0]
        spec = find_spec(top)
        if spec is None or spec.origin is None:
            continue
        file = Path(spec.origin).resolve()
        found.update(file.parent.rglob("*.py") if file.name == "__init__.py" else file.parent.glob("*.py"))
    return sorted(found)


def fingerprint(files: Sequence[Path]) -> dict[Path, bytes]:
    """What the files hold now; of one that cannot be read, nothing."""
    found: dict[Path, bytes] = {}
    for file in files:
        try:
            found[file] = file.read_bytes()
        except OSError:
            found[file] = b""
    return found


def load(chosen: Sequence[Chosen]) -> list[type[Module]]:
    """The classes, imported anew from their sources. Raises Broken, and then what was imported before is back."""
    files = set(own_files(chosen))
    old = {name: module for name, module in sys.modules.items() if _file_of(module) in files}
    for name in old:
        del sys.modules[name]
    try:
        with _from_sources(chosen):
            return [_class(each) for each in chosen]
    except BaseException as error:
        for name in [name for name, module in sys.modules.items() if _file_of(module) in files]:
            del sys.modules[name]
        sys.modules.update(old)
        if isinstance(error, KeyboardInterrupt | Broken):
            raise
        raise Broken(_sentence(error, files)) from error


@contextmanager
def _from_sources(chosen: Sequence[Chosen]) -> Iterator[None]:
    """Bytecode of an earlier save could pass for this one, being judged by size and second: none is read or written."""
    before = sys.pycache_prefix, sys.dont_write_bytecode
    sys.path[:0] = {str(each.folder) for each in chosen if each.folder is not None} - set(sys.path)
    importlib.invalidate_caches()
    linecache.checkcache()
    with tempfile.TemporaryDirectory(prefix="armillary-dev-") as empty:
        sys.pycache_prefix, sys.dont_write_bytecode = empty, True
        try:
            yield
        finally:
            sys.pycache_prefix, sys.dont_write_bytecode = before


def _class(chosen: Chosen) -> type[Module]:
    found = getattr(importlib.import_module(chosen.import_name), chosen.class_name, None)
    if found is None:
        raise Broken(f"{chosen.import_name} has no class {chosen.class_name}")
    if not (isinstance(found, type) and issubclass(found, Module)):
        raise Broken(f"{chosen.target} is no runtime.Module")
    found.metadata()
    return found


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _sentence(error: BaseException, files: set[Path]) -> str:
    """What went wrong and where in the author's own files."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).resolve() in files]
    where = f"{own[-1].filename}, line {own[-1].lineno}: " if own else ""
    kind = "" if type(error).__module__.startswith("runtime.") else f"{type(error).__name__}: "
    return f"{where}{kind}{error}"
