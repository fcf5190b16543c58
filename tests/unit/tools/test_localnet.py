"""Ports, signals and homes of a network on one machine: what is refused before anything starts, and what is left."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_spec import SpecError, read_spec, resolve
from chain_spec.presets import FEE_DENOM, FOUNDER_BALANCE
from runtime.bech32m import decode_address, encode_address
from runtime.errors import UsageError
from runtime.execution import Application
from runtime.node.config_file import read_config
from runtime.state import MemoryStore
from runtime.types import AccountId
from tools.cli.app import run
from tools.localnet import Localnet, NodeFailed, NodeProcess
from tools.localnet.ports import PORT_MAX, first_busy, free_base_port
from tools.localnet.signals import held_back, stop_on_signals

START = 29_100


def listener(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


@given(st.integers(1, 12))
def test_free_ports_are_free_and_in_a_row(count: int) -> None:
    base = free_base_port(count, start=START)
    assert START <= base <= PORT_MAX - count
    assert first_busy(base, count) is None


@given(st.integers(0, 7))
def test_a_port_that_someone_listens_on_is_found(offset: int) -> None:
    base = free_base_port(8, start=START)
    with listener(base + offset):
        assert first_busy(base, 8) == base + offset
        assert free_base_port(8, start=base) > base + offset


def test_a_port_whose_connections_linger_is_free() -> None:
    """Who stops a network and starts it again at once gets the same ports."""
    with listener() as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first is left in TIME_WAIT
            assert client.recv(1) == b""
    assert first_busy(port, 1) is None


def test_invalid_no_room_for_so_many_ports() -> None:
    with pytest.raises(UsageError, match="no 50 free ports in a row from 65500 on"):
        free_base_port(50, start=65_500)


def interrupted_inside(number: signal.Signals, steps: list[str]) -> None:
    with held_back():
        with held_back():
            os.kill(os.getpid(), number)
            steps.append("inner")
        steps.append("outer")
    steps.append("after")


def test_signals_stop_but_not_where_they_are_held_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        stop_on_signals()
        for number in before:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
            steps: list[str] = []
            with pytest.raises(KeyboardInterrupt):
                interrupted_inside(number, steps)
            assert steps == ["inner", "outer"], "the outermost block is left whole"
        with held_back():
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Localnet:
    """Three homes; nothing runs."""
    return Localnet(tmp_path_factory.mktemp("localnet") / "net", 3, chain="testing")


def test_every_home_is_whole_and_knows_the_others(prepared: Localnet) -> None:
    spec = read_spec(prepared.spec_path)
    assert spec.name == "testing"
    assert (prepared.home / "password").stat().st_mode & 0o777 == 0o600
    assert spec.bootnodes == [node["p2p"] for node in prepared.describe()["nodes"]]
    for node in prepared.nodes:
        assert read_spec(node.home / "spec.json") == spec
        config = read_config(node.home)
        assert config.name == node.name
        assert config.network.persistent_peers == []
        node.key("validator")
        assert encode_address(AccountId(node.key("operator").public_key)) == node.account


def test_every_operator_holds_tokens(prepared: Localnet) -> None:
    chain = resolve(read_spec(prepared.spec_path))
    application = Application(chain.genesis, chain.modules, MemoryStore())
    application.start()
    for node in prepared.nodes:
        asked = {"account": decode_address(node.account), "denom": FEE_DENOM}
        assert application.query("tokens", "balance_of", asked) == FOUNDER_BALANCE


def test_invalid_second_network_in_one_home(prepared: Localnet) -> None:
    with pytest.raises(UsageError, match="is not empty; name a new folder, or remove it"):
        Localnet(prepared.home, 1)


def test_invalid_busy_base_port_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    base = free_base_port(8, start=START)
    with listener(base + 5), pytest.raises(UsageError, match=rf"port {base + 5} is in use; 8 free ports"):
        Localnet(tmp_path / "net", 4, base_port=base)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (["nosuch"], "--module: no installed package offers the module 'nosuch'"),
        (["tokens"], "'tokens' is composed already"),
    ],
)
def test_invalid_modules_are_named_and_nothing_is_made(modules: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words):
        Localnet(tmp_path / "net", 1, modules=modules)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("validators", [0, 33])
def test_invalid_number_of_validators(validators: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--validators {validators}: 1 to 32"):
        Localnet(tmp_path / "net", validators)
    assert list(tmp_path.iterdir()) == []


def test_invalid_node_that_ends_says_why(tmp_path: Path) -> None:
    """Its home lacks everything: the process ends, and the sentence has the end of its log."""
    node = NodeProcess(
        name="node0", home=tmp_path, p2p_port=1, http_port=2, account="", peer_id="", password_file=tmp_path / "none"
    )
    node.start()
    try:
        with pytest.raises(NodeFailed, match=r"node0 ended with exit code 2; .*node\.log ends with:\n.*config\.toml"):
            node.wait_ready()
    finally:
        node.kill()
    node.ask_to_stop()
    node.wait_stopped()
    assert not node.is_running


def test_invalid_options_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listener() as busy:
        port = busy.getsockname()[1]
        assert run(["localnet", "--home", str(tmp_path / "net"), "--base-port", str(port)]) == 2
    assert capsys.readouterr().err == f"error: port {port} is in use; 8 free ports from --base-port on are needed\n"
