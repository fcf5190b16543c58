"""Rules about what a module gets from outside: ARM005 and ARM020 to ARM024, and ARM061 where it is another module."""

from __future__ import annotations

import ast
from typing import Final

from runtime.module.lint.facts import Facts
from runtime.module.lint.rules import Hit, Hits, words

_FORBIDDEN: Final = {
    "ARM005": "cmath decimal fractions numbers numpy onnx onnxruntime pandas scipy sklearn statistics torch",
    "ARM020": "calendar datetime sched time timeit zoneinfo",
    "ARM021": "random secrets uuid",
    "ARM022": "atexit configparser ctypes dbm fcntl fileinput getpass glob http httpx io locale logging mmap os "
    "pathlib pickle platform requests select shelve shutil signal site socket socketserver sqlite3 ssl subprocess "
    "sys syslog tempfile urllib",
    "ARM023": "_thread anyio asyncio concurrent contextvars multiprocessing queue selectors threading trio",
    "ARM032": "cachetools",
    "ARM070": "ast builtins code codeop dis gc importlib inspect marshal pkgutil runpy symtable sysconfig traceback "
    "tracemalloc types weakref",
}
_CODE_OF: Final = {name: code for code, names in _FORBIDDEN.items() for name in names.split()}
_PURE: Final = words(
    "__future__ abc base64 binascii bisect collections contextlib copy dataclasses enum functools hashlib heapq "
    "itertools keyword math msgspec operator pydantic string struct textwrap typing typing_extensions"
)
_RUNTIME: Final = (
    "runtime.types",
    "runtime.limits",
    "runtime.codec",
    "runtime.crypto",
    "runtime.errors",
    "runtime.module",
)
_INTEGER_MATH: Final = frozenset({"isqrt", "gcd", "lcm", "prod"})
_CACHES: Final = frozenset({"cache", "lru_cache", "cached_property"})
_TESTS: Final = frozenset({"tests", "conftest"})
_HOST_CALLS: Final = ("open", "input", "print", "breakpoint")


def check(facts: Facts) -> Hits:
    """Each import, each use of an attribute of `math` and `functools`, and the builtins that ask the host."""
    for node in facts.nodes:
        match node:
            case ast.Import() | ast.ImportFrom() if not _is_for_types(facts, node):
                yield from _imported(facts, node)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                whole = facts.imports.get(name)
                if whole in ("math", "functools") and facts.scope_of(node, name) is not None:
                    yield from _member(node, whole, attribute)
            case ast.Name(ctx=ast.Load()) if facts.is_builtin(node, *_HOST_CALLS):
                yield Hit("ARM022", node, f"`{node.id}`")
            case ast.AsyncFunctionDef():
                yield Hit("ARM023", node, "a coroutine")


def _is_for_types(facts: Facts, node: ast.AST) -> bool:
    """Inside of `if TYPE_CHECKING:`, which never runs."""
    return any(
        isinstance(outer, ast.If) and facts.dotted(outer.test) in ("typing.TYPE_CHECKING", "TYPE_CHECKING")
        for outer in facts.around(node)
    )


def _imported(facts: Facts, node: ast.Import | ast.ImportFrom) -> Hits:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _module(facts, node, alias.name)
        return
    names = [alias.name for alias in node.names]
    whole = _absolute(facts.package, node.level, node.module or "") if node.level else node.module or ""
    if whole in ("math", "functools"):
        for name in names:
            yield from _member(node, whole, name)
    elif _is_test(whole, *names):
        yield Hit("ARM024", node, f"`{whole}`, a test")
    elif "*" in names and whole != "runtime":
        yield Hit("ARM024", node, f"everything of `{whole}`")
    else:
        parts = [f"{whole}.{name}" for name in names if whole == "modules" or name == "module"]
        for each in parts or [whole]:
            yield from _module(facts, node, each)


def _absolute(package: str, level: int, whole: str) -> str:
    """A relative import written out; within a file that is in no package it leads nowhere that is known."""
    parts = package.split(".")
    kept = parts[: max(len(parts) - level + 1, 0)]
    return ".".join(part for part in (*kept, whole) if part)


def _module(facts: Facts, node: ast.Import | ast.ImportFrom, name: str) -> Hits:
    top, *rest = name.split(".")
    if _is_test(name):
        yield Hit("ARM024", node, f"`{name}`, a test")
    elif _is_within(name, facts.package) or (rest and rest[-1] == "protocol"):
        return
    elif top == "modules" or (rest and rest[-1] == "module" and top != "runtime"):
        yield Hit("ARM061", node, f"`{name}`, which is not this module's own")
    elif top in _CODE_OF:
        yield Hit(_CODE_OF[top], node, f"`{name}`")
    elif not (name == "runtime" or top in _PURE or _is_ours(facts, name)):
        yield Hit("ARM024", node, f"`{name}`")


def _is_ours(facts: Facts, name: str) -> bool:
    """Of the file's own distribution, or of those parts of the runtime that are as pure as a module must be."""
    if name.startswith("runtime."):
        return any(_is_within(name, each) for each in _RUNTIME)
    return _is_within(name, facts.package.partition(".")[0])


def _is_within(name: str, package: str) -> bool:
    return bool(package) and (name == package or name.startswith(package + "."))


def _member(node: ast.stmt | ast.expr, whole: str, name: str) -> Hits:
    if whole == "math" and name not in _INTEGER_MATH:
        yield Hit("ARM005", node, f"`math.{name}`")
    if whole == "functools" and name in _CACHES:
        yield Hit("ARM032", node, f"`functools.{name}`")


def _is_test(*names: str) -> bool:
    parts = {part for name in names for part in name.split(".")}
    return bool(parts & _TESTS) or any(part.startswith("test_") for part in parts)
