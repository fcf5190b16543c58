"""The configuration round-trips with its comments, and a mistake names its key and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.network.identity import NetworkKey
from runtime.node.config import (
    NetworkConfig,
    NodeConfig,
    parse_config,
    read_config,
    render_config,
    write_config,
)
from runtime.node.errors import ConfigError

PEER = f"/ip4/127.0.0.1/tcp/7401/p2p/{NetworkKey(bytes(32)).peer_id}"


def test_the_written_defaults_are_the_defaults_and_every_option_has_its_comment(tmp_path: Path) -> None:
    write_config(tmp_path, NodeConfig())
    assert read_config(tmp_path) == NodeConfig()
    lines = (tmp_path / "config.toml").read_text().splitlines()
    options = [index for index, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert len(options) >= 15
    for index in options:
        assert lines[index - 1].startswith("# ")
        assert lines[index - 1] != "# None"


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=64),
    st.lists(st.just(PEER), max_size=3),
    st.integers(0, 1024),
)
def test_any_configuration_is_read_as_written(name: str, peers: list[str], full_nodes: int) -> None:
    config = NodeConfig(name=name, network=NetworkConfig(persistent_peers=peers, full_nodes_max=full_nodes))
    assert parse_config(render_config(config)) == config


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_config("") == NodeConfig()


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('nmae = "x"', "nmae", "did you mean name?"),
        ("[http]\nlisten_address = 'x'", "http.listen_address", "did you mean http.listen?"),
        ("[metwork]\nlisten = 'x'", "metwork", "did you mean network?"),
        ("[http]\nlisten = 'localhost'", "http.listen", "'localhost'"),
        ("[http]\nlisten = 'localhost:99999'", "http.listen", "0 to 65535"),
        ("[http]\nenabled = 1", "http.enabled", "found 1"),
        ("[http]\nrequest_bytes_max = 5", "http.request_bytes_max", "1024"),
        ("[log]\nformat = 'xml'", "log.format", "people"),
        (
            "[network]\npersistent_peers = ['x']",
            "network.persistent_peers",
            "expected /ip4/HOST/tcp/PORT/p2p/PEERID",
        ),
        ("http = 3", "http", "found 3"),
        ("name = ", "", "not TOML"),
        ("a = " + "[" * 100_000, "", "not"),
    ],
)
def test_invalid_options_are_named(text: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert caught.value.key == key
    assert words in str(caught.value)


def test_invalid_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="armillary init"):
        read_config(tmp_path)
    (tmp_path / "config.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="UTF-8 at byte 8"):
        read_config(tmp_path)
    (tmp_path / "config.toml").write_text("naem = 'x'")
    with pytest.raises(ConfigError, match=r"did you mean name\? \(in .*config\.toml\)"):
        read_config(tmp_path)
