"""A network of four real processes, and the command line in this process, as its user has them."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

import pytest

from tools.cli.app import run
from tools.cli.home import OPERATOR_KEY
from tools.cli.keyring import PASSWORD_FILE_VARIABLE
from tools.localnet import Localnet
from tools.localnet.ports import free_base_port

VALIDATORS = 4


@pytest.fixture(scope="session")
def localnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    """Four validators that run. One network for all tests, because starting one takes seconds: each test leaves it as
    it must find it, with all nodes up and nothing in a mempool."""
    base = free_base_port(2 * VALIDATORS, start=random.randrange(20_000, 26_000))
    with Localnet(tmp_path_factory.mktemp("localnet") / "net", VALIDATORS, base_port=base) as network:
        network.start()
        yield network


@dataclass(frozen=True)
class Shown:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


CommandLine = Callable[..., Shown]


def command_line(environment: Mapping[str, str], *arguments: str) -> Shown:
    """Run `armillary ARGUMENTS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, environment), redirect_stdout(out), redirect_stderr(err):
        code = run(list(arguments))
    return Shown(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def armillary(localnet: Localnet) -> CommandLine:
    """`armillary ARGUMENTS` for a user of the first node; with `signer`=i as that node's operator."""
    environment = {
        "ARMILLARY_NODE": localnet.nodes[0].http_url,
        PASSWORD_FILE_VARIABLE: str(localnet.home / "password"),
    }

    def use(*arguments: str, signer: int | None = None) -> Shown:
        who = () if signer is None else ("--home", str(localnet.nodes[signer].home), "--key", OPERATOR_KEY)
        return command_line(environment, *arguments, *who)

    return use
