"""Bounds of exact inference, with their units. They are part of the protocol: changing one forks the chain."""

from __future__ import annotations

from typing import Final

from runtime.limits import MODEL_MEMORY_BYTES_MAX

MODEL_BYTES_MAX: Final = 512 * 1024 * 1024
NODES_MAX: Final = 65_536
CONSTANTS_MAX: Final = 65_536
INPUTS_MAX: Final = 64
OUTPUTS_MAX: Final = 64
OPERANDS_MAX: Final = 64  # of one Concat; longer ones nest
LABELS_MAX: Final = 65_536
LABEL_CHARACTERS_MAX: Final = 128
TENSOR_NAME_CHARACTERS_MAX: Final = 128
VERSION_CHARACTERS_MAX: Final = 48

RANK_MAX: Final = 7  # without the leading N: the engine's kernels take eight dimensions
SPATIAL_RANK_MAX: Final = 3
ELEMENTS_MAX: Final = 1 << 27  # of one tensor of one row: 1 GiB in float64
WEIGHTS_MAX: Final = 1 << 27  # elements of all constants together, and of their float64 expansions: 1 GiB
CONSTANTS_PER_NODE_MAX: Final = 3
COLUMN_VISITS_PER_BYTE: Final = 4  # columns and elements of constants that the verifier may look at, in all:
COLUMN_VISITS_PER_NODE: Final = 4096  # so many for each byte of the model and for each node
MEMORY_BYTES_MAX: Final = MODEL_MEMORY_BYTES_MAX
GAS_PER_ROW_MAX: Final = 60 * 10**9  # a minute on the reference machine
GAS_LOAD_MAX: Final = 60 * 10**9
TREE_NODES_MAX: Final = 1 << 22  # branches and leaves of all trees of a model
TREE_DEPTH_MAX: Final = 256  # branches from a root to a leaf: the engine builds a tree by recursion
POOL_TAPS_MAX: Final = 16  # of a MaxPool's window, to be the largest of tensors shifted channels last
KERNELS_MAX: Final = 1 << 18  # launched by one run
ROWS_MAX: Final = 1 << 20

SHIFT_BITS_MAX: Final = 127  # 2**-127 times an integer is far from the subnormal range
FRAC_BITS_MAX: Final = 62
SOFTMAX_CLASSES_MAX: Final = 1 << 23  # 2**23 summands of at most 2**30 are exact in float64
SOFTMAX_FRAC_BITS_MAX: Final = 30

DOUBLE_EXACT_MAX: Final = 1 << 53  # every integer up to this magnitude is a float64
SINGLE_EXACT_MAX: Final = 1 << 24  # the same for float32

_RELATIONS = {
    "a softmax's sum is exact": SOFTMAX_CLASSES_MAX << SOFTMAX_FRAC_BITS_MAX <= DOUBLE_EXACT_MAX,
    "one tensor fits into the memory of a run": 8 * ELEMENTS_MAX < MEMORY_BYTES_MAX,
    "the expanded weights of one model fit into the memory of a run": 16 * WEIGHTS_MAX < MEMORY_BYTES_MAX,
}
for _sentence, _holds in _RELATIONS.items():
    if not _holds:
        raise ImportError(f"runtime.inference.limits contradict each other: {_sentence} does not hold")
