"""The same chain in processes with other hash seeds comes to the same roots."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
from runtime.execution import InvalidTransaction
from runtime.testing.bank import Bank, FAILURES, bank_chain

chain = bank_chain()
people = [chain.account(name) for name in ("alice", "bob", "dora", "carol")]
for height in range(4):
    data = []
    for place, person in enumerate(people[:3]):
        to = people[(place + height) % 4].id
        calls = [Bank.transfer.build(to=to, amount=place + height)]
        if place == height % 3:
            calls.append(Bank.write_then.build(what=sorted(each for each in FAILURES if each != "memory")[height * 3]))
        data.append(chain.transaction(*calls, signer=person, gas_limit=3_000_000))
    chain.block(data)
print(chain.application.genesis_hash.hex(), chain.application.state_root.hex(), chain.last.receipts_root.hex())
print(sorted((name, root.hex()) for name, root in chain.last.module_roots.items()))
"""


def run(seed: str, *flags: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, *flags, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def expected() -> str:
    return run("0")


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_roots_do_not_depend_on_the_hash_seed(expected: str, seed: str) -> None:
    assert run(seed) == expected


def test_roots_do_not_depend_on_assertions(expected: str) -> None:
    """python -O strips assert: nothing that counts may rest on one."""
    assert run("7", "-O") == expected
