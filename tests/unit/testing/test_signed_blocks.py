"""The strategies of signed blocks: valid ones pass every check, broken ones are refused by the check that they name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from runtime.consensus import MessageRefused, check_block, decode_block, encode_block
from runtime.testing.signed_blocks import SignedBlock, broken_blocks, signed_blocks


@settings(max_examples=30)
@given(signed_blocks())
def test_a_signed_block_passes_every_check_and_travels(made: SignedBlock) -> None:
    check_block(made.block, made.parent)
    assert decode_block(encode_block(made.block)) == made.block


@settings(max_examples=60)
@given(broken_blocks())
def test_invalid_blocks_are_refused_by_the_check_that_they_name(broken: SignedBlock) -> None:
    with pytest.raises(MessageRefused) as refused:
        check_block(broken.block, broken.parent)
    assert (refused.value.what, refused.value.check) == ("block", broken.check)
