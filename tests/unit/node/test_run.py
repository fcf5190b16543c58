"""What a home must hold for a node to start, and which fault a person sees."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from runtime.crypto import SigningKey
from runtime.errors import OurError, UsageError
from runtime.node.config import HttpConfig, KeysConfig, NodeConfig
from runtime.node.digest import runtime_digest
from runtime.node.errors import Diverged, KeystoreError
from runtime.node.files import write_atomically
from runtime.node.home import NodeHome
from runtime.node.keystore import SCRYPT_N_MIN, write_keystore
from runtime.node.run import _passes_self_test, first_fault

LOG = structlog.get_logger()


def test_keys_are_found_where_the_configuration_says(tmp_path: Path) -> None:
    key = SigningKey.from_seed(b"\5" * 32)
    write_keystore(tmp_path / "v.json", key, "pw", scrypt_n=SCRYPT_N_MIN)
    write_atomically(tmp_path / "n.key", b"07" * 32 + b"\n", mode=0o600)
    home = NodeHome(tmp_path, NodeConfig(keys=KeysConfig(validator="v.json", network="n.key")))
    found = home.validator_key(lambda: "pw")
    assert found is not None
    assert found.seed == key.seed
    assert home.network_key().seed == b"\7" * 32
    assert home.data == tmp_path / "data"


def test_a_full_node_asks_for_no_password(tmp_path: Path) -> None:
    def unasked() -> str:
        raise AssertionError("asked")

    assert NodeHome(tmp_path, NodeConfig(keys=KeysConfig(validator=""))).validator_key(unasked) is None


@pytest.mark.parametrize("content", [None, b"", b"zz" * 32, b"00" * 31, b"\xff" * 64])
def test_invalid_network_keys_are_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "n.key").write_bytes(content)
    home = NodeHome(tmp_path, NodeConfig(keys=KeysConfig(network="n.key"), http=HttpConfig(enabled=False)))
    with pytest.raises(UsageError, match=r"n\.key: (cannot be read|expected 64 hexadecimal digits)"):
        home.network_key()
    with pytest.raises(KeystoreError, match=r"validator\.json"):
        home.validator_key(lambda: "pw")


def test_a_machine_that_fails_the_self_test_is_not_let_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise OurError("subnormals are flushed")

    monkeypatch.setattr("runtime.inference.self_test", fails)
    assert not _passes_self_test(LOG)
    monkeypatch.setattr("runtime.inference.self_test", lambda: None)
    assert _passes_self_test(LOG)


def test_the_fault_of_this_node_is_what_a_person_sees() -> None:
    fault = Diverged("a root differs")
    group = BaseExceptionGroup("", [ValueError("x"), ExceptionGroup("", [KeyError("y"), fault])])
    assert first_fault(group) is fault
    assert isinstance(first_fault(BaseExceptionGroup("", [ValueError("x")])), ValueError)


def test_the_digest_is_the_same_each_time() -> None:
    assert runtime_digest() == runtime_digest()
