"""Modules as plugins: found by the entry point `armillary.modules`, selected and pinned by the chain spec.

Lives here: finding, loading, reading them for what would fork a chain, fingerprinting. Must not: know what a chain spec
says besides a module's name.
"""

from __future__ import annotations

import difflib
import hashlib
import sys
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from chain_spec.errors import SpecError
from runtime import Module
from runtime.module.lint import check_files, module_files

GROUP = "armillary.modules"
SHIPPED = Path(__file__).resolve().parents[1] / "modules"
"""What comes with the runtime: the project's own tests hold it to the linter's rules."""


@cache
def installed() -> dict[str, EntryPoint]:
    """The modules that installed packages offer, by name. Raises SpecError when two offer one name."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise SpecError(
                "$.modules",
                f"two installed packages offer the module {point.name!r}: {other.value} and {point.value}; "
                "uninstall one of them",
            )
    return found


def load(name: str, path: str = "$.modules") -> type[Module]:
    """The class of the installed module `name`. Raises SpecError, at `path` of the spec: it is not installed, cannot be
    loaded, or the linter finds something in its source."""
    point = installed().get(name)
    if point is None:
        near = difflib.get_close_matches(name, installed(), n=1)
        mend = f"did you mean {near[0]!r}?" if near else "install the package that offers it"
        raise SpecError(path, f"no installed package offers the module {name!r} (entry point {GROUP}); {mend}")
    try:
        module = point.load()
    except Exception as error:  # importing somebody's module may raise whatever its author got wrong
        said = f"{type(error).__name__}: {error}"
        raise SpecError(path, f"the module {name!r} cannot be loaded from {point.value}: {said}") from error
    if not (isinstance(module, type) and issubclass(module, Module)):
        raise SpecError(path, f"{point.value} is no runtime.Module: the entry point of {name!r} names a class of one")
    if module.name != name:
        raise SpecError(
            path, f"{point.value} calls itself {module.name!r}, its entry point says {name!r}: make them one"
        )
    try:
        finding = _finding(module)
    except OSError as error:
        raise SpecError(path, f"the source of the module {name!r} cannot be read: {error}") from error
    if finding:
        raise SpecError(path, f"the module {name!r} is not fit for a chain: {finding}")
    return module


def digest(module: type[Module]) -> bytes:
    """SHA-256 over the module's Python sources: the folder of the package that its class is in, else its one file.

    Hashed are each file's path (relative, posix), its length and its bytes, in the order of the paths.
    """
    folder, files = _sources(module)
    state = hashlib.sha256(b"armillary/module-source")
    for source in files:
        name, data = source.relative_to(folder).as_posix().encode(), source.read_bytes()
        state.update(len(name).to_bytes(4, "big") + name + len(data).to_bytes(8, "big") + data)
    return state.digest()


def outdated(module: type[Module]) -> Path | None:
    """A source of the module of which Python has loaded something else: bytecode that only seems to belong to it, as
    size and second of both agree. None: what was loaded is what `digest` hashes."""
    files = set(_sources(module)[1])
    for name, loaded in sorted(sys.modules.items()):
        loader = getattr(loaded, "__loader__", None)
        if not isinstance(loader, SourceFileLoader) or _resolved(loader.path) not in files:
            continue
        source = Path(loader.path)
        if loader.get_code(name) != loader.source_to_code(source.read_bytes(), str(source)):
            return source
    return None


@cache
def _resolved(source: str) -> Path:
    """Where a loaded source lies. Remembered, because there are thousands, and each module of a chain asks for all."""
    return Path(source).resolve()


def _sources(module: type[Module]) -> tuple[Path, list[Path]]:
    """The module's folder and its Python files there: all of its package's, else its one."""
    definition = sys.modules[module.__module__]
    file = Path(str(definition.__file__)).resolve()
    return file.parent, sorted(file.parent.rglob("*.py")) if definition.__package__ else [file]


@cache
def _finding(module: type[Module]) -> str | None:
    """The first thing that the linter finds in the module's sources, and how to see all; None: nothing."""
    folder, files = _sources(module)
    if folder.is_relative_to(SHIPPED):
        return None
    found = check_files(module_files(folder, files) if len(files) > 1 else files)
    if not found:
        return None
    more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    checked = folder if len(files) > 1 else files[0]
    return f"{found[0]}{more}; `armillary lint {checked}` says all"
