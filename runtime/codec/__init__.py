"""Canonical bytes: one value, one encoding; decided by the declared types alone.

`codec(T)` reads and writes values, `key_codec(T)` storage keys whose byte order is the values' order.
"""

from runtime.codec.keys import KeyCodec, key_codec
from runtime.codec.values import Codec, codec

__all__ = ["Codec", "KeyCodec", "codec", "key_codec"]
