"""Which blocks of a decoder lose their causal mask: bits, a group of blocks each."""

from __future__ import annotations

from harness.errors import CardError


def group_of(block: int, blocks: int, groups: int) -> int:
    """The group that a block belongs to: groups as even as can be, the first nearest the input."""
    return block * groups // blocks


def unmasked_blocks(bits: str, blocks: int) -> list[bool]:
    """For each block, whether its causal mask goes. Raises CardError for more bits than blocks."""
    if len(bits) > blocks:
        raise CardError(f"The mask {bits!r} has {len(bits)} groups, but the model has only {blocks} blocks.")
    return [bits[group_of(i, blocks, len(bits))] == "1" for i in range(blocks)]
