"""Peer ids are libp2p's; addresses say which part is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from runtime.crypto import SigningKey
from runtime.network.addresses import PeerAddress
from runtime.network.errors import AddressError
from runtime.network.identity import NetworkKey, peer_id_of, public_key_of

PEER_ID = NetworkKey(bytes(32)).peer_id
RSA_PEER_ID = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"


@given(st.binary(min_size=32, max_size=32))
def test_peer_id_is_the_one_that_libp2p_makes_of_the_seed(seed: bytes) -> None:
    assert NetworkKey(seed).peer_id == ID.from_pubkey(create_new_key_pair(seed).public_key).to_base58()


@given(st.binary(min_size=32, max_size=32))
def test_public_key_comes_back_out_of_its_peer_id(seed: bytes) -> None:
    key = SigningKey.from_seed(seed).public_key
    assert public_key_of(peer_id_of(key)) == key


@given(st.text(max_size=80))
def test_any_text_is_a_peer_id_or_a_value_error(text: str) -> None:
    try:
        assert peer_id_of(public_key_of(text)) == text
    except ValueError:
        return


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/127.0.0.1/tcp/26656/p2p/{PEER_ID}",
        f"/ip6/::1/tcp/1/p2p/{PEER_ID}",
        f"/dns4/node-1.example.org/tcp/65535/p2p/{PEER_ID}",
    ],
)
def test_address_reads_back_as_written(text: str) -> None:
    assert str(PeerAddress.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected /ip4/HOST"),
        ("127.0.0.1:26656", "expected /ip4/HOST"),
        ("/ip4/127.0.0.1/tcp/26656", "expected /ip4/HOST"),
        (f"/ip4/127.0.0.1/udp/26656/p2p/{PEER_ID}", "expected /ip4/HOST"),
        (f"/ip4/127.0.0.256/tcp/26656/p2p/{PEER_ID}", "'127.0.0.256' is not an ip4 address"),
        (f"/ip6/127.0.0.1/tcp/26656/p2p/{PEER_ID}", "is not an ip6 address"),
        (f"/dns/a..b/tcp/26656/p2p/{PEER_ID}", "is not a host name"),
        (f"/onion/abc/tcp/26656/p2p/{PEER_ID}", "'onion' is not ip4"),
        (f"/ip4/127.0.0.1/tcp/0/p2p/{PEER_ID}", "port '0'"),
        (f"/ip4/127.0.0.1/tcp/65536/p2p/{PEER_ID}", "port '65536'"),
        (f"/ip4/127.0.0.1/tcp/\u0661/p2p/{PEER_ID}", "port"),
        ("/ip4/127.0.0.1/tcp/1/p2p/12D3KooW0", "'0' is not a character of base58"),
        (f"/ip4/127.0.0.1/tcp/1/p2p/{RSA_PEER_ID}", "not the peer id of an Ed25519 key"),
        ("/ip4/127.0.0.1/tcp/1/p2p/" + "1" * 61, "at most 60"),
    ],
)
def test_invalid_address_names_the_part(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match="(?s)" + reason.replace("(", r"\(")):
        PeerAddress.parse(text)
