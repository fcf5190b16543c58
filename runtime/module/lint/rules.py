"""The table of rules, and what a finding is.

Lives here: codes, reasons, mends: everything that is said of a rule anywhere. Must not: look at source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rule:
    """title: what must not be there. reason: what goes wrong on a chain. mend: what to write instead."""

    code: str
    title: str
    reason: str
    mend: str


@dataclass(frozen=True, order=True)
class Finding:
    """One place where a rule is broken. line, column: from 1, as editors count."""

    path: str
    line: int
    column: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.code} {self.message}"


@dataclass(frozen=True)
class Hit:
    """A node that breaks a rule. what: how this place does it, as the beginning of a sentence."""

    code: str
    node: ast.stmt | ast.expr | ast.excepthandler | ast.arg
    what: str


Hits = Iterator[Hit]

RULES: Final[dict[str, Rule]] = {
    rule.code: rule
    for rule in (
        Rule(
            "ARM000", "source that cannot be read",
            "what cannot be read cannot be checked",
            "write Python 3.11 in UTF-8 that parses",
        ),
        Rule(
            "ARM001", "floats and complex numbers",
            "they round, and not alike on every machine and library",
            "use integers in the smallest unit",
        ),
        Rule(
            "ARM002", "true division",
            "`/` makes a float, which rounds: units appear or vanish",
            "use `//`, and say who gets the remainder",
        ),
        Rule(
            "ARM003", "powers and shifts by an amount without a visible bound",
            "the number grows without limit, for one price",
            "bound the amount where it is used: min(amount, 64), a constant, or an `if` that refuses more",
        ),
        Rule(
            "ARM004", "integers from text",
            "it takes signs, underscores and all the world's digits, and has a limit that each process sets",
            "take the number as an argument of type U64, or int.from_bytes",
        ),
        Rule(
            "ARM005", "numbers that are no integers: decimal, fractions, statistics, numpy, most of math",
            "they round, depend on a context or a library's build, or grow without limit",
            "use integers; math.isqrt, gcd, lcm, prod are fine",
        ),
        Rule(
            "ARM010", "the order of a set",
            "it is another one in every process, since hashes are salted",
            "iterate over sorted(...) of it, or keep a list or the keys of a dict",
        ),
        Rule(
            "ARM011", "hash() and id()",
            "the one is salted for each process, the other is an address in memory",
            "use runtime.hash_bytes for bytes, an Item that counts for identities",
        ),
        Rule(
            "ARM012", "text of objects",
            "it may hold addresses and the order of sets, and differs between versions of Python",
            "keep the values themselves, or format integers and strings",
        ),
        Rule(
            "ARM020", "the host's time",
            "every machine has another",
            "use self.height and self.time_ms, which the block says",
        ),
        Rule(
            "ARM021", "chance",
            "every machine draws another number",
            "take it from what the chain has agreed on, such as a hash of committed values",
        ),
        Rule(
            "ARM022", "files, the environment, the terminal, other processes and hosts",
            "every machine has others",
            "put what is needed into arguments, params or genesis",
        ),
        Rule(
            "ARM023", "threads, tasks and coroutines",
            "the order in which they run is another one each time",
            "do one thing after another",
        ),
        Rule(
            "ARM024", "imports beyond the runtime, pure parts of the standard library, and protocols",
            "nothing says that it is deterministic, bounded, and the same version everywhere",
            "import runtime, this module's package, or another module's protocol.py; or say why it is safe",
        ),
        Rule(
            "ARM030", "state outside of storage",
            "no rollback, restart or other process sees it: a stale cache forks the chain",
            "declare an Item or a Map, or keep it in a local name",
        ),
        Rule(
            "ARM031", "global and nonlocal",
            "what is assigned outlives the call that assigned it and is not rolled back with it",
            "return the value, or declare an Item",
        ),
        Rule(
            "ARM032", "caches of functions",
            "they remember across calls, checkpoints and blocks, and no rollback reaches them",
            "compute it again; storage is cached by the runtime",
        ),
        Rule(
            "ARM033", "mutable default arguments",
            "one object serves all calls: it is state that no rollback reaches",
            "use None or an empty tuple as the default",
        ),
        Rule(
            "ARM040", "recursion",
            "its depth is the caller's to choose, and where Python's stack ends depends on who called",
            "use a loop over a bounded range, with a list as the stack",
        ),
        Rule(
            "ARM041", "while without a visible bound",
            "a block waits for it on every validator",
            "use `for _ in range(LIMIT)`, or count or pop in each round what the condition asks for",
        ),
        Rule(
            "ARM042", "as much work as an argument says",
            "the caller chooses how much there is to do, for one price",
            "call self.charge(...) for it first, refuse more than a limit, or take min(argument, LIMIT)",
        ),
        Rule(
            "ARM050", "errors that are swallowed",
            "what was half done before the error stays done",
            "put the body into `with self.checkpoint():`, catch the one CallError that is meant, or raise again",
        ),
        Rule(
            "ARM060", "storage keys glued together",
            'two different pairs make one key: "ab" + "c" is "a" + "bc"',
            "declare the key as a tuple, Map[tuple[A, B], V], and write m[a, b]",
        ),
        Rule(
            "ARM061", "another module's inside",
            "its storage and classes are its own: past its methods nobody checks its rules",
            "import its protocol.py, and call what it offers by `other: Uses[Protocol]`",
        ),
        Rule(
            "ARM070", "code and names made at run time",
            "nobody can read from the source what it does, this linter neither",
            "write it out",
        ),
        Rule(
            "ARM071", "Python's inside",
            "it reaches around what the runtime guards, and changes between versions of Python",
            "use the value's public names",
        ),
        Rule(
            "ARM090", "suppressions that do not say what and why",
            "who reads it later cannot judge it",
            "write `# arm: allow[ARM003] because ...` with rules of this table",
        ),
        Rule(
            "ARM091", "suppressions of nothing",
            "it would hide what comes later",
            "remove it",
        ),
    )
}  # fmt: skip
UNSUPPRESSIBLE: Final = frozenset({"ARM000", "ARM090", "ARM091"})


def finding(path: str, line: int, column: int, code: str, what: str) -> Finding:
    """A finding whose message says what is there, why it is wrong, and the mend."""
    rule = RULES[code]
    return Finding(path, line, column, code, f"{what}: {rule.reason}; {rule.mend}")


def words(text: str) -> frozenset[str]:
    """Names, written one after another."""
    return frozenset(text.split())
