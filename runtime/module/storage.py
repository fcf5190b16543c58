"""Storage as the author declares it: `Item[T]`, one value, and `Map[K, V]`, values by key.

A declared item is bound anew for each module instance: it then knows its context, module and codecs. A key in the
module's subtree is the item's name, a zero byte, and the map's key in order-preserving bytes; so reordering
declarations moves nothing. Values are canonical bytes. Lives here: access. Must not: meter (context), hash (state).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

from runtime.codec import Codec, KeyCodec, codec, key_codec
from runtime.errors import CodecError
from runtime.module.errors import BadValue, KeyMissing, OutsideContext
from runtime.types import Name

if TYPE_CHECKING:
    from runtime.module.context import Context
    from runtime.module.module import Module

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class _NoDefault:
    def __repr__(self) -> str:
        return "no default"


NO_DEFAULT: Final[Any] = _NoDefault()


class Declared:
    """What Item and Map share: the name and, once bound, the context."""

    __slots__ = ("_context", "_module", "_prefix", "default", "name")

    def __init__(self, default: Any) -> None:
        self.default = default
        self.name = ""
        self._module = Name("")
        self._prefix = b""
        self._context: Context | None = None

    @property
    def prefix(self) -> bytes:
        """What every key of this item begins with, in its module's subtree."""
        return self._prefix

    def _bad_value(self, error: CodecError) -> BadValue:
        bad = BadValue(module=self._module, where=f"{self.name}"[:128])
        bad.add_note(str(error))
        return bad


class Item(Declared, Generic[T]):
    """One stored value, read and assigned as an attribute: `self.count += 1`.

    Without a default, reading before the first assignment raises KeyMissing. `del self.count` makes it absent.
    """

    __slots__ = ("_codec",)

    def __init__(self, *, default: T = NO_DEFAULT) -> None:
        super().__init__(default)
        self._codec: Codec[T] = cast("Codec[T]", None)  # set by bind, before any access

    def bind_types(self, name: str, module: str, value: Any) -> None:
        """Called once, when the module's class is made."""
        self.name, self._module = name, Name(module)
        self._prefix = name.encode() + b"\x00"
        self._codec = codec(value)

    @overload
    def __get__(self, instance: None, owner: Any) -> Item[T]: ...
    @overload
    def __get__(self, instance: Module, owner: Any) -> T: ...
    def __get__(self, instance: Module | None, owner: Any) -> Item[T] | T:
        if instance is None:
            return self
        data = instance._context.read(self._module, self._prefix)
        if data is not None:
            return instance._context.decode(self._codec, data)
        if self.default is NO_DEFAULT:
            raise KeyMissing(module=self._module, storage=Name(self.name))
        return cast("T", self.default)

    def __set__(self, instance: Module, value: T) -> None:
        try:
            data = instance._context.encode(self._codec, value)
        except CodecError as error:
            raise self._bad_value(error) from None
        instance._context.write(self._module, self._prefix, data)

    def __delete__(self, instance: Module) -> None:
        instance._context.delete(self._module, self._prefix)


class Map(Declared, Generic[K, V]):
    """Values by key. `m[k]`, `m[k] = v`, `del m[k]`, `k in m`, `m.get(k)`, `m.items(prefix, limit=...)` in key order.

    Without a default, `m[k]` of an absent key raises KeyMissing; with one, it is the default, and `k in m` still says
    whether something is stored. Deleting an absent key does nothing.
    """

    __slots__ = ("_codec", "_keys")

    def __init__(self, *, default: V = NO_DEFAULT) -> None:
        super().__init__(default)
        self._codec: Codec[V] = cast("Codec[V]", None)  # set by bind, before any access
        self._keys: KeyCodec[K] = cast("KeyCodec[K]", None)

    def bind_types(self, name: str, module: str, key: Any, value: Any) -> None:
        """Called once, when the module's class is made."""
        self.name, self._module = name, Name(module)
        self._prefix = name.encode() + b"\x00"
        self._keys = key_codec(key)
        self._codec = codec(value)

    def bind(self, context: Context) -> Map[K, V]:
        """The same map, reading and writing through `context`."""
        bound = Map.__new__(Map)
        for slot in (*Declared.__slots__, *Map.__slots__):
            object.__setattr__(bound, slot, getattr(self, slot))
        bound._context = context
        return bound

    def storage_key(self, key: K) -> bytes:
        """The key in the module's subtree; for proofs. Raises BadValue where it is not of the declared type."""
        try:
            return self._prefix + self._keys.encode(key)
        except CodecError as error:
            raise self._bad_value(error) from None

    def _running(self) -> Context:
        if self._context is None:
            raise OutsideContext
        return self._context

    def __getitem__(self, key: K) -> V:
        context = self._running()
        data = context.read(self._module, self.storage_key(key))
        if data is not None:
            return context.decode(self._codec, data)
        if self.default is NO_DEFAULT:
            raise KeyMissing(module=self._module, storage=Name(self.name))
        return cast("V", self.default)

    def get(self, key: K) -> V | None:
        """The stored value, or None where nothing is stored (also where the declaration has a default)."""
        context = self._running()
        data = context.read(self._module, self.storage_key(key))
        return None if data is None else context.decode(self._codec, data)

    def __contains__(self, key: K) -> bool:
        return self._running().read(self._module, self.storage_key(key)) is not None

    def __setitem__(self, key: K, value: V) -> None:
        context = self._running()
        try:
            data = context.encode(self._codec, value)
        except CodecError as error:
            raise self._bad_value(error) from None
        context.write(self._module, self.storage_key(key), data)

    def __delitem__(self, key: K) -> None:
        self._running().delete(self._module, self.storage_key(key))

    def items(self, prefix: tuple[Any, ...] = (), *, limit: int, after: K | None = None) -> Iterator[tuple[K, V]]:
        """At most `limit` entries in key order, whose key begins with the parts of `prefix`, from behind `after`.

        What is written while iterating does not show. Each entry is charged as it is read.
        """
        try:
            low = self._prefix + self._keys.prefix(prefix)
        except CodecError as error:
            raise self._bad_value(error) from None
        start = None if after is None else self.storage_key(after) + b"\x00"
        cut = len(self._prefix)
        context = self._running()
        for key, value in context.scan(self._module, low, limit, start):
            yield self._keys.decode(key[cut:]), context.decode(self._codec, value)

    def keys(self, prefix: tuple[Any, ...] = (), *, limit: int, after: K | None = None) -> Iterator[K]:
        """The keys of `items`."""
        return (key for key, _ in self.items(prefix, limit=limit, after=after))
