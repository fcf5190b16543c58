"""Golden graphs: exact graphs whose outputs are recorded, bit for bit, for ever."""
