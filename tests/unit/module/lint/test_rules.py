"""Each rule finds what it is for, at its place, and is silent about what merely looks like it."""

from __future__ import annotations

import textwrap

import pytest

from runtime.module.lint import RULES, check_source

METHOD = """
from runtime import U8, U64, U128, AccountId, CallError, Denom, Hash, Item, Map, Module, Signed, Uses, call

class Refused(CallError):
    pass

class Mine(Module):
    name = "mine"
    held: Map[AccountId, U64] = Map(default=0)
    pairs: Map[tuple[Denom, Denom], U64] = Map(default=0)
    labels: Map[Denom, U64] = Map(default=0)
    total: Item[U64] = Item(default=0)
    ledger: Uses[Ledger]

    @call(gas=1)
    def run(self, origin: Signed, *, n: U64, small: U8, who: Denom, other: Denom, ids: tuple[U64, ...]) -> None:
"""


def codes(text: str) -> set[str]:
    return {each.code for each in check_source(textwrap.dedent(text).encode(), "mine.py", package="acme.mine")}


def in_call(body: str) -> set[str]:
    """The findings of these statements inside of a call."""
    return codes(METHOD + textwrap.indent(textwrap.dedent(body).strip(), " " * 8) + "\n")


FOUND_IN_CALLS = [
    ("ARM001", "self.total = n * 2 // 1.5"),
    ("ARM001", "x = 1j"),
    ("ARM001", "x = 1e18"),
    ("ARM001", "x = float(n)"),
    ("ARM001", "x: float = n"),
    ("ARM001", "x = complex"),
    ("ARM001", "x = 10 ** -3"),
    ("ARM002", "x = n / 2"),
    ("ARM002", "n /= 2"),
    ("ARM003", "x = 2 ** n"),
    ("ARM003", "x = 1 << n"),
    ("ARM003", "x = 1\nx <<= n"),
    ("ARM003", "x = pow(3, n)"),
    ("ARM003", "x = 10 ** 5000"),
    ("ARM003", "x = 1 << 100_000"),
    ("ARM003", "x = 10 ** self.total"),
    ("ARM003", "x = (n ** 9) ** 9"),
    ("ARM003", "width = n\nx = 1 << width"),
    ("ARM003", "if small > 3:\n    return\nx = 1 << n"),
    ("ARM003", "x = 1 << n\nif n > 3:\n    return"),
    ("ARM003", "if n > 3:\n    self.total = 1\nx = 1 << n"),
    ("ARM004", "x = int(who)"),
    ("ARM004", "x = int(who[2:])"),
    ("ARM004", "x = int(who, 16)"),
    ("ARM004", "text = who.strip()\nx = int(text)"),
    ("ARM004", "x = list(map(int, who))"),
    ("ARM010", "for x in {1, 2}:\n    self.total = x"),
    ("ARM010", "seen = set(ids)\nfor x in seen:\n    self.total = x"),
    ("ARM010", "seen: set[int] = other_set()\nx = list(seen)"),
    ("ARM010", "x = tuple({k for k in ids})"),
    ("ARM010", "x = [k for k in frozenset(ids)]"),
    ("ARM010", "x = {k: 1 for k in set(ids)}"),
    ("ARM010", "x = next(iter(set(ids)))"),
    ("ARM010", "x = set(ids).pop()"),
    ("ARM010", "a, b = {n, small}"),
    ("ARM010", "x = [*set(ids)]"),
    ("ARM010", "a = {1: 2}\nfor k in a.keys() & {1}:\n    pass"),
    ("ARM010", "x = set(ids)\ny = x | {4}\nz = ','.join(y)"),
    ("ARM010", "x = max((k for k in set(ids)), key=lambda k: k % 2)"),
    ("ARM010", "x = max(set(ids), key=lambda k: k % 2)"),
    ("ARM010", "x = set(ids)\nif n:\n    x = sorted(x)\ny = list(x)"),
    ("ARM010", "x = sorted(set(ids))\nx = set(ids)\ny = [k for k in x]"),
    ("ARM011", "self.total = hash(who)"),
    ("ARM011", "x = id(self)"),
    ("ARM011", "x = sorted(ids, key=id)"),
    ("ARM012", "x = repr(who)"),
    ("ARM012", "x = f'{who!r}'"),
    ("ARM012", "x = str(self)"),
    ("ARM012", "x = f'{self}'"),
    ("ARM012", "x = '%r' % n"),
    ("ARM012", "x = str(set(ids))"),
    ("ARM012", "try:\n    x = ids[n]\nexcept IndexError as error:\n    x = str(error)"),
    ("ARM022", "open('x')"),
    ("ARM022", "print(n)"),
    ("ARM022", "x = input()"),
    ("ARM031", "global TABLE"),
    ("ARM041", "while True:\n    n += 1"),
    ("ARM041", "while n != 1:\n    n = n // 2 if n % 2 == 0 else 3 * n + 1"),
    ("ARM041", "i = 0\nwhile i < n:\n    if i % 2:\n        i += 1"),
    ("ARM041", "i = 0\nwhile i < n:\n    if self.held[who]:\n        continue\n    i += 1"),
    ("ARM041", "i = 0\nwhile i < n:\n    i += small"),
    ("ARM041", "i = 5\nwhile i > 0:\n    i += 0"),
    ("ARM041", "work = [n]\nwhile work:\n    work.append(work.pop())"),
    ("ARM041", "i = 0\nwhile True:\n    if i > 9:\n        pass\n    i += 1"),
    ("ARM042", "for _ in range(n):\n    pass"),
    ("ARM042", "for _ in range(1, n + 1):\n    pass"),
    ("ARM042", "x = [k for k in range(n)]"),
    ("ARM042", "many = n * 2\nfor _ in range(many):\n    pass"),
    ("ARM042", "for k in range(small, small + n):\n    pass"),
    ("ARM042", "x = [0] * n"),
    ("ARM042", "x = bytes(n)"),
    ("ARM042", "for _ in range(n):\n    pass\nself.charge(n)"),
    ("ARM050", "try:\n    self.total = 1\nexcept:\n    pass"),
    ("ARM050", "try:\n    self.total = 1\nexcept Exception:\n    return"),
    ("ARM050", "try:\n    self.total = 1\nexcept BaseException as e:\n    self.total = 2"),
    ("ARM050", "try:\n    self.total = 1\nexcept CallError:\n    pass"),
    ("ARM050", "try:\n    self.ledger.move(who, other, n)\nexcept CallError:\n    pass"),
    ("ARM050", "try:\n    self.total = 1\nexcept (ValueError, Refused):\n    pass"),
    ("ARM050", "try:\n    with self.checkpoint():\n        self.total = 1\nexcept Exception:\n    pass"),
    (
        "ARM050",
        "try:\n    self.total = 2\n    with self.checkpoint():\n        self.total = 1\nexcept Refused:\n    pass",
    ),
    ("ARM050", "try:\n    self.total = 1\nexcept Exception:\n    if n:\n        raise"),
    ("ARM050", "try:\n    self.total = 1\nexcept* Exception:\n    pass"),
    ("ARM050", "try:\n    self.total = 1\nfinally:\n    return"),
    ("ARM050", "from contextlib import suppress\nwith suppress(Refused):\n    self.total = 1"),
    ("ARM060", "self.labels[who + other] = 1"),
    ("ARM060", "self.labels[f'{who}/{other}'] += 1"),
    ("ARM060", "self.labels[Denom(who + other)] = 1"),
    ("ARM060", "key = who + '/' + other\nx = self.labels[key]"),
    ("ARM060", "x = self.labels.get('%s%s' % (who, other))"),
    ("ARM060", "x = self.labels['mine/' + who + '/' + other]"),
    ("ARM060", "x = self.labels['{}{}'.format(who, other)]"),
    ("ARM060", "x = '/'.join((who, other)) in self.labels"),
    ("ARM060", "self.elsewhere[origin.account.hex() + who] = n"),
    ("ARM060", "del self.labels[f'{who}{n}']"),
    ("ARM061", "x = self.ledger.balances[who]"),
    ("ARM061", "self.ledger.total = 3"),
    ("ARM070", "eval(who)"),
    ("ARM070", "exec('x = 1')"),
    ("ARM070", "x = getattr(self, who)"),
    ("ARM070", "x = __import__(who)"),
    ("ARM070", "x = globals()"),
    ("ARM070", "x = getattr(self, '__dict__')"),
    ("ARM071", "x = self.__dict__"),
    ("ARM071", "x = type(self).__subclasses__()"),
    ("ARM071", "x = __builtins__"),
]

SOUND_IN_CALLS = [
    "self.total = n * 3 // 2",
    "self.total = int(small)\nx = int(n > 2)",
    "x = int.from_bytes(who.encode(), 'big')",
    "x = 10 ** 18 + (1 << 128) - 1 + n ** 2",
    "x = 1 << min(n, 64)",
    "x = 10 ** small",
    "x = 1 << n % 64\ny = 1 << (n & 63)",
    "if n > 18:\n    raise Refused()\nx = 10 ** n",
    "if n <= 18:\n    x = 10 ** n",
    "x = 10 ** n if n < 19 else 0",
    "x = sum(1 << k for k in range(64))",
    "for k in range(8):\n    x = 1 << k",
    "x = pow(3, n, 1_000_003)",
    "for x in sorted({1, 2}):\n    self.total = x",
    "x = sorted(k for k in set(ids))\ny = sum(set(ids))\nz = any(k for k in set(ids))\nw = min(set(ids))",
    "x = len(set(ids)) == len(ids) and n in set(ids)",
    "x = {k + 1 for k in set(ids)} | {4}",
    "seen = set(ids)\nseen = sorted(seen)\nfor x in seen:\n    self.total = x",
    "a = {1: 2}\nfor k in a.keys():\n    self.total = k\nfor k, v in a.items():\n    self.total = v",
    "(only,) = {n}",
    "x = {1}\nfor x in ids:\n    y = list(x)",
    "for x in dict.fromkeys(ids):\n    self.total = x",
    "for k, v in self.held.items(limit=4):\n    self.total += v",
    "hash = n\nself.total = hash",
    "x = f'{n} of {who}'\ny = str(n)",
    "assert n > 0, f'{self!r} {set(ids)}'",
    "local: dict[int, int] = {}\nlocal[n] = 1\nlocal.setdefault(n, 2)\nseen = []\nseen.append(n)",
    "self.held[origin.account] += 1\nself.total = 4",
    "i = 0\nwhile i < n:\n    i += 1",
    "i = 0\nwhile i < n:\n    i += STEP",
    "i = 64\nwhile i:\n    self.total += i\n    i -= 1",
    "while n:\n    n >>= 1",
    "while n > 0:\n    n //= 10",
    "work = list(ids)\nwhile work:\n    self.total += work.pop()",
    "work = list(ids)\nwhile work and n:\n    x = work.pop()\n    if x == n:\n        continue",
    "i = 0\nwhile True:\n    if i >= 9:\n        break\n    i += 1",
    "for _ in range(small):\n    pass",
    "for _ in range(min(n, 64)):\n    pass",
    "self.charge(n * 10)\nfor _ in range(n):\n    pass",
    "if n > 100:\n    raise Refused()\nfor _ in range(n):\n    pass",
    "for _ in range(len(ids)):\n    pass",
    "for k, _ in enumerate(ids):\n    pass",
    "x = [0] * 8\ny = bytes(32)\nz = [n, n] + [n * 2]",
    "try:\n    with self.checkpoint():\n        self.total = 1\nexcept Refused:\n    pass",
    "try:\n    x = {1: 2}[n]\nexcept KeyError:\n    x = 0",
    "try:\n    self.total = 1\nexcept CallError:\n    raise Refused() from None",
    "try:\n    self.total = 1\nexcept Exception:\n    self.total = 2\n    raise",
    "try:\n    self.total = 1\nexcept Exception:\n    if n:\n        raise Refused\n    else:\n        raise",
    "self.pairs[who, other] = 1\nx = self.pairs.get((who, other))",
    "self.held[origin.account] = n + 1\nx = self.numbers[n + 1]",
    "local = {}\nlocal[f'{who}{other}'] = 1",
    "self.labels[f'mine/{who}'] = 1\nself.labels['mine/' + who] = 1\nself.labels[who.lower()] = 1",
    "try:\n    x = self.total\nexcept Refused:\n    x = 0",
    "mask = 0\nfor k, each in enumerate(ids):\n    mask |= 1 << k",
    "for k in range(n, n + 64):\n    pass",
    "self.ledger.move(who, other, n)",
    "x = getattr(origin, 'account', None)",
    "x = super().__init__()",
]

FOUND_IN_FILES = [
    *(
        ("ARM005", f"import {name}")
        for name in ("statistics", "decimal", "fractions", "numpy", "cmath", "numpy.random")
    ),
    ("ARM005", "from math import sqrt"),
    ("ARM005", "import math as m\nx = m.pi"),
    ("ARM020", "import time"),
    ("ARM020", "from datetime import datetime"),
    ("ARM021", "from random import choice"),
    ("ARM021", "import secrets, uuid"),
    *(("ARM022", f"import {name}") for name in ("os.path", "sys", "platform", "locale", "io", "socket", "subprocess")),
    *(("ARM023", f"import {name}") for name in ("threading", "asyncio", "multiprocessing", "concurrent.futures")),
    ("ARM023", "async def f():\n    pass"),
    ("ARM024", "import left_pad"),
    ("ARM024", "from runtime.node import Node"),
    ("ARM024", "from runtime.execution import Chain"),
    ("ARM024", "from msgspec import *"),
    ("ARM024", "from acme.tests import helpers"),
    ("ARM024", "from .tests import helpers"),
    ("ARM030", "SEEN = {}\ndef f(k):\n    SEEN[k] = 1"),
    ("ARM030", "SEEN = []\ndef f(k):\n    SEEN.append(k)"),
    ("ARM030", "SEEN = set()\nclass A:\n    def f(self, k):\n        SEEN.add(k)"),
    ("ARM030", "SEEN = {}\ndef f(k):\n    SEEN.setdefault(k, []).append(k)"),
    ("ARM030", "SEEN = {1: []}\ndef f(k):\n    SEEN[1].append(k)"),
    ("ARM030", "SEEN = {}\ndef f(k):\n    del SEEN[k]"),
    ("ARM030", "from itertools import count\nIDS = count()\ndef f():\n    return next(IDS)"),
    ("ARM030", "class A:\n    memo: dict[int, int] = {}\n    def f(self, k):\n        self.memo[k] = 1"),
    ("ARM030", "class A:\n    memo = []\n    def f(self, k):\n        A.memo.append(k)"),
    ("ARM030", "class A:\n    last = 0\n    def f(self, k):\n        A.last = k"),
    ("ARM030", "class A:\n    def f(self, k):\n        type(self).last = k"),
    ("ARM030", "class A:\n    @classmethod\n    def f(cls, k):\n        cls.last = k"),
    ("ARM030", "from acme.mine.tables import SEEN\ndef f(k):\n    SEEN[k] = 1"),
    ("ARM031", "def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = 2"),
    ("ARM032", "from functools import cache"),
    ("ARM032", "from functools import partial, lru_cache as remember"),
    ("ARM032", "import functools\n@functools.cached_property\ndef f(): ..."),
    ("ARM033", "def f(x=[]): ..."),
    ("ARM033", "def f(*, x={}): ..."),
    ("ARM033", "from collections import defaultdict\ndef f(x=defaultdict(list)): ..."),
    ("ARM033", "f = lambda x=set(): x"),
    ("ARM040", "def f(n):\n    return n and f(n - 1)"),
    ("ARM040", "def f(n):\n    return g(n)\ndef g(n):\n    return f(n)"),
    ("ARM040", "class A:\n    def f(self):\n        self.g()\n    def g(self):\n        self.f()"),
    ("ARM040", "class A:\n    def f(self):\n        self.g()\nclass B(A):\n    def g(self):\n        self.f()"),
    ("ARM040", "def f(n):\n    def g(k):\n        return g(k - 1)\n    return g(n)"),
    ("ARM061", "from modules.tokens import Tokens"),
    ("ARM061", "from modules import tokens"),
    ("ARM061", "from modules.tokens.balances import Balances"),
    ("ARM061", "from other.ledger.module import Ledger"),
    ("ARM061", "from ..bank.module import Bank"),
    ("ARM061", "from ..bank import module"),
    ("ARM061", "from acme.bank import module as other"),
    ("ARM024", "from .words import *"),
    ("ARM071", "class A:\n    def __del__(self):\n        pass"),
]

SOUND_FILES = [
    "from math import gcd, isqrt, lcm, prod\nimport math\nx = math.isqrt(16)",
    "from functools import partial, reduce",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from decimal import Decimal",
    "from modules.tokens.protocol import Ledger\nfrom other.protocol import Thing",
    "from acme.mine.errors import Refused\nfrom .events import Paid\nfrom . import errors\nfrom acme import words",
    "from ..shared import words\nfrom .module import Mine\nfrom . import module",
    "from ..mine.errors import Refused\nfrom ..bank import protocol",
    "import hashlib, itertools, enum, dataclasses, msgspec, pydantic, collections.abc",
    "from runtime import *",
    "from runtime.types import Pattern\nfrom runtime.codec import codec",
    "TABLE = {1: 2}\nNAMES = ['a']\ndef f(k):\n    return TABLE[k], NAMES[0]",
    "TABLE = {}\nfor k in range(4):\n    TABLE[k] = k * k",
    "import heapq\ndef f(x):\n    heapq.heappush(x, 1)",
    "def f(x=(), y=None, z=frozenset()): ...",
    "class A:\n    def f(self):\n        self.g()\n    def g(self):\n        self.other.f()",
    "class A:\n    def f(self): ...\nclass B(A):\n    def f(self):\n        super().f()",
    "class A:\n    def f(self):\n        f()\ndef f(): ...",
    "class A(Module):\n    @invariant\n    def holds(self):\n        for x in set(self.m.keys(limit=9)):\n"
    "            assert x, repr(x)",
    "class A(Module):\n    def __repr__(self):\n        return 'A'\n    def __len__(self):\n        return 1",
    "class A(Module):\n    balances: Map[str, int] = Map()\n    class GenesisConfig(Genesis):\n"
    "        balances: dict[str, int] = {}\n    def genesis(self, config):\n        self.balances['a'] = 1",
]  # fmt: skip


@pytest.mark.parametrize(("code", "body"), FOUND_IN_CALLS)
def test_found_in_a_call(code: str, body: str) -> None:
    assert in_call(body) == {code}


@pytest.mark.parametrize("body", SOUND_IN_CALLS)
def test_silent_about_a_sound_call(body: str) -> None:
    assert in_call(body) == set()


@pytest.mark.parametrize(("code", "text"), FOUND_IN_FILES)
def test_found_in_a_file(code: str, text: str) -> None:
    assert codes(text) == {code}


@pytest.mark.parametrize("text", SOUND_FILES)
def test_silent_about_a_sound_file(text: str) -> None:
    assert codes(text) == set()


def test_every_rule_has_cases() -> None:
    tested = {code for code, _ in (*FOUND_IN_CALLS, *FOUND_IN_FILES)}
    assert tested | {"ARM000", "ARM090", "ARM091"} == set(RULES)  # those three: test_suppressions, test_any_bytes


def test_a_finding_says_where_what_why_and_the_mend() -> None:
    (found,) = check_source(b"def f(n):\n    return n / 2\n", "a/mine.py")
    assert str(found) == (
        "a/mine.py:2:12: ARM002 true division `/`: `/` makes a float, which rounds: units appear or vanish; "
        "use `//`, and say who gets the remainder"
    )


def test_findings_come_in_the_order_of_the_file() -> None:
    found = check_source(b"x = 1.5\ny = hash(x) / 2.5\nimport os\n", "mine.py")
    assert [(each.line, each.column, each.code) for each in found] == [
        (1, 5, "ARM001"),
        (2, 5, "ARM002"),
        (2, 5, "ARM011"),
        (2, 15, "ARM001"),
        (3, 1, "ARM022"),
    ]


def test_an_endless_circle_of_functions_is_found_once() -> None:
    (found,) = check_source(b"def f():\n    g()\ndef g():\n    h()\ndef h():\n    f()\n    g()\n", "mine.py")
    assert (found.line, found.code) == (2, "ARM040")
    assert "f, g, h call each other" in found.message
