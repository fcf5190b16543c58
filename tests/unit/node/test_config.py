"""The configuration round-trips with its comments, and a mistake names its key and the mend."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.network.identity import NetworkKey
from runtime.node.config import NetworkConfig, NodeConfig
from runtime.node.config_file import parse_config, read_config, render_config, write_config
from runtime.node.errors import ConfigError

PEER = f"/ip4/127.0.0.1/tcp/7401/p2p/{NetworkKey(bytes(32)).peer_id}"

KEYS = {
    f"{name}.{option}" if options else name
    for name, field in NodeConfig.model_fields.items()
    for options in [getattr(field.annotation, "model_fields", None)]
    for option in (options or [name])
}


def value_of(config: NodeConfig, key: str) -> object:
    """By dotted key."""
    return functools.reduce(getattr, key.split("."), config)


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
        ("[http]\nlevel = 'debug'", "http.level", "did you mean log.level?"),
        ("validator = ''", "validator", "did you mean keys.validator?"),
        ("[http]\nlisten = 'localhost'", "http.listen", '"localhost" is not address:port'),
        ("[http]\nlisten = 'localhost:99999'", "http.listen", "0 to 65535"),
        ("[http]\nenabled = 1", "http.enabled", "found 1"),
        ("[http]\nenabled = 'true'", "http.enabled", 'found "true"'),
        ("[http]\nrequest_bytes_max = 5", "http.request_bytes_max", "1024"),
        ("[log]\nformat = 'xml'", "log.format", "people"),
        ("[state]\nhistory_heights = 1.5", "state.history_heights", "integer; found 1.5"),
        ("[network]\npersistent_peers = ['x']", "network.persistent_peers", "expected /ip4/HOST/tcp/PORT/p2p/PEERID"),
        ("[network]\npersistent_peers = [1]", "network.persistent_peers[0]", "found 1"),
        ("http = 3", "http", "a section, [http]"),
        ("name = ", "", "not TOML"),
        ("a = " + "[" * 100_000, "", "not"),
    ],
)
def test_invalid_options_are_named(text: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert [problem[0] for problem in caught.value.problems] == [key]
    assert words in str(caught.value).replace("'", '"')


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = "nam = 'x'\n[http]\nlisten = 'x'\nenable = true\n[log]\nlevel = 3\n[mempool]\nbytes_max = 1"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, ["state.history_heights=0", "log.from=json"])
    wrong = {key for key, _ in caught.value.problems}
    assert wrong == {
        "nam", "http.enable", "http.listen", "log.level", "mempool.bytes_max",
        "--set state.history_heights", "--set log.from",
    }  # fmt: skip
    assert str(caught.value).startswith("7 things are wrong\n  nam: there is no such option; did you mean name?\n")


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_any_misspelt_option_is_an_error_that_names_one(key: str, data: st.DataObject) -> None:
    section, _, name = key.rpartition(".")
    at = data.draw(st.integers(0, len(name) - 1))
    wrong = name[:at] + name[at + 1 :] + "zz"
    text = f"[{section}]\n{wrong} = 1" if section else f"{wrong} = 1"
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    ((found, reason),) = caught.value.problems
    assert found == (f"{section}.{wrong}" if section else wrong)
    meant = reason.removeprefix("there is no such option; did you mean ").removesuffix("?")
    assert meant in KEYS | set(NodeConfig.model_fields)


@pytest.mark.parametrize(
    ("given", "key", "value"),
    [
        ("log.level=debug", "log.level", "debug"),
        ('log.level="debug"', "log.level", "debug"),
        ("http.enabled=false", "http.enabled", False),
        ("state.history_heights = 7", "state.history_heights", 7),
        ("name=a b=c", "name", "a b=c"),
        ("keys.validator=", "keys.validator", ""),
        ("network.persistent_peers=[]", "network.persistent_peers", []),
    ],
)
def test_an_option_is_overridden_for_one_run(given: str, key: str, value: object) -> None:
    text = render_config(NodeConfig(network=NetworkConfig(persistent_peers=[PEER])))
    found = parse_config(text, [given])
    assert value_of(found, key) == value
    for other in KEYS - {key}:
        assert value_of(found, other) == value_of(parse_config(text), other)


@pytest.mark.parametrize("given", ["log.level", "=x", "a.b.c=1", ".=1", ""])
def test_invalid_overrides_say_how_to_write_one(given: str) -> None:
    with pytest.raises(ConfigError, match=r"write it like log\.level=debug"):
        parse_config("", [given])


def test_invalid_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="armillary init"):
        read_config(tmp_path)
    (tmp_path / "config.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="UTF-8 at byte 8"):
        read_config(tmp_path)
    (tmp_path / "config.toml").write_text("naem = 'x'")
    with pytest.raises(ConfigError, match=r"config\.toml: naem: there is no such option; did you mean name\?"):
        read_config(tmp_path)


def test_the_operators_page_has_every_option() -> None:
    page = Path(__file__).parents[3] / "docs" / "operating.md"
    assert f"```toml\n{render_config(NodeConfig())}```\n" in page.read_text()
