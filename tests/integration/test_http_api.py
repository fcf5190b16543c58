"""A real node's HTTP. schemathesis: whatever its OpenAPI document allows is answered as documented, whatever it does
not allow is refused as a problem, and nothing is a fault. And the programs of docs/rpc.md, as they stand there."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from tools.localnet import Localnet
from tools.localnet.ports import free_base_port

PAGE = Path(__file__).parents[2] / "docs" / "rpc.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
EXAMPLES = 6
EXAMPLES_QUERY = 2  # the queries of modules are many, and one path serves them all
EXAMPLES_SOAK = 200  # ten minutes


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    """A chain of one validator, as a process."""
    base = free_base_port(2, start=random.randrange(20_000, 26_000))
    with Localnet(tmp_path_factory.mktemp("localnet") / "net", 1, base_port=base) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def url(network: Localnet) -> str:
    return network.nodes[0].http_url


@pytest.mark.parametrize(
    ("needle", "shown"),
    [("NodeClient(", ["committed in block", "Transferred"]), ("AsyncNodeClient(", ["Transferred 4"])],
)
def test_the_programs_of_the_page_do_what_they_say(network: Localnet, url: str, needle: str, shown: list[str]) -> None:
    (program,) = [text for text in PROGRAMS if f" {needle}" in text]
    program = program.replace("http://127.0.0.1:8400", url)
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=network.home.parent, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert all(words in done.stdout for words in shown), done.stdout


def attack(url: str, examples: int, examples_query: int) -> dict[str, int]:
    """Ask everything; returns how often each operation was asked. examples: of good and of bad, of each operation."""
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    asked: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        count = examples_query if operation.path.startswith("/query/") else examples
        takes_something = {"parameters", "requestBody"} & operation.definition.raw.keys()
        for mode in list(GenerationMode) if takes_something else [GenerationMode.POSITIVE]:

            @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                asked[case.operation.label] = asked.get(case.operation.label, 0) + 1
                case.call_and_validate(excluded_checks=unfit(case.operation))

            ask()
    return asked


def unfit(operation: Any) -> list[Any]:
    """Checks that do not fit an operation: where a 400 is documented, no JSON Schema can say what is good (a signature,
    an address' checksum, a module's own arguments)."""
    documented = operation.definition.raw["responses"]
    return [CHECKS.get_one("positive_data_acceptance")] if "400" in documented else []


def test_schemathesis_finds_nothing(url: str) -> None:
    asked = attack(url, EXAMPLES, EXAMPLES_QUERY)
    assert len(asked) >= 10


@pytest.mark.soak
def test_schemathesis_finds_nothing_for_long(url: str) -> None:
    assert attack(url, EXAMPLES_SOAK, EXAMPLES_SOAK // 10)
