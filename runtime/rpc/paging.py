"""Lists, a page at a time: the same two parameters and the same answer for every list.

A cursor says where the next page begins; it stays good for ever, because what lists hold is only ever added to.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from runtime.errors import CallerError
from runtime.rpc import bounds

T = TypeVar("T")
CURSOR = "^[0-9]{1,19}([.][0-9]{1,9})?$"

Limit = Annotated[int, Query(ge=1, le=bounds.PAGE_ITEMS_MAX, description="the most items of this page")]
Cursor = Annotated[str | None, Query(pattern=CURSOR, description="the last page's `next`; the first page if left out")]


class Page(BaseModel, Generic[T]):
    """Part of a list. `next` is the cursor of the next page; null where the list ends for now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: list[T]
    next: str | None = Field(description="the cursor of the next page; null at the end")


def place(cursor: str | None, parts: int) -> tuple[int, ...] | None:
    """The numbers of a cursor; None for the first page. Raises CallerError for another list's cursor."""
    if cursor is None:
        return None
    numbers = tuple(map(int, cursor.split(".")))
    if len(numbers) != parts:
        raise CallerError(f"cursor: {cursor} is not of this list")
    return numbers
