"""Gas of inference: nanoseconds on the reference machine, an upper bound, from what the verifier counted.

Constants are picoseconds per unit of Work on a current x86 server core, measured as an upper bound over some hundred
graphs, ordinary and hostile, with single-threaded onnxruntime 1.32: most are charged 1 to 4 times their time. The
reference machine, the slowest supported CPU, is three times slower. Integers only: gas is part of the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.inference.facts import Work
from runtime.inference.limits import ROWS_MAX

REFERENCE_SLOWDOWN: Final = 3

MAC_DOUBLE_PS: Final = 50
MAC_SINGLE_PS: Final = 40
MAC_BYTE_PS: Final = 8
STREAMED_PS: Final = 600
STRIDED_PS: Final = 1_900
LIVE_PS: Final = 1_300  # an element that is alive at once with the others: memory is touched anew, beyond the caches
WEIGHT_PS: Final = 900  # eight bytes read from memory
DECISION_PS: Final = 6_000  # a branch of a tree passed: a comparison, and the next branch read
KERNEL_PS: Final = 700_000
RUN_PS: Final = 30_000_000

LOAD_PS: Final = 2_000_000_000
LOAD_KERNEL_PS: Final = 60_000_000
LOAD_CONSTANT_PS: Final = 60_000_000
LOAD_NUMBER_PS: Final = 15_000_000
LOAD_PAIR_PS: Final = 4_000  # of constants and numbers: the engine looks for each among all
LOAD_WEIGHT_PS: Final = 20_000
LOAD_BRANCH_PS: Final = 2_200_000  # a node of a tree: written for the engine, and built by it
LOAD_VISIT_PS: Final = 42_000  # a column or element of a constant that the verifier looks at one by one

VERIFY_PS: Final = 1_000_000_000
VERIFY_BYTE_PS: Final = 60_000
VERIFY_NODE_PS: Final = 150_000_000

SESSION_BYTES: Final = 4 << 20  # of a session without weights, and of the library for the first one
KERNEL_BYTES: Final = 6144
CONSTANT_BYTES: Final = 8192
NUMBER_BYTES: Final = 2560
BRANCH_BYTES: Final = 512  # of a tree's node, while it is written and built
WEIGHT_COPIES: Final = 2  # what is handed to the engine, and the session's own
DATA_COPIES: Final = 2  # of stored constants: in the model's bytes, and decoded
MAKING_BYTES: Final = 12  # of each element of the constant that is in the making, beside what is made
ARENA_SLACK: Final = 2  # an allocator rounds sizes up


@dataclass(frozen=True, slots=True)
class Cost:
    """Gas: `gas_load` once per model that is not loaded, `gas_fixed` once per run, `gas_per_row` for each row.
    Memory: `memory_bytes` of the loaded model and one row; each further row of a run adds `memory_bytes_per_row`."""

    gas_load: int
    gas_fixed: int
    gas_per_row: int
    memory_bytes: int
    memory_bytes_per_row: int

    def gas(self, rows: int, *, loads: bool = True) -> int:
        """What a run of `rows` is charged. ValueError unless 1 <= rows <= ROWS_MAX."""
        if not 1 <= rows <= ROWS_MAX:
            raise ValueError(f"rows {rows} is outside 1 to {ROWS_MAX}")
        return (self.gas_load if loads else 0) + self.gas_fixed + rows * self.gas_per_row


def _gas(picoseconds: int) -> int:
    """Reference nanoseconds, rounded up."""
    return -(-picoseconds * REFERENCE_SLOWDOWN // 1000)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a loaded model is made of. `elements`: of eight bytes, kept of constants; `gone_through`: in making them,
    `largest`: for one constant; `visited`: columns of constants that the verifier looked at; `data_bytes`: of constants
    as they are stored."""

    elements: int
    gone_through: int
    largest: int
    visited: int
    data_bytes: int


def model_cost(work: Work, kept: Kept, live_elements: int) -> Cost:
    """`work`: of one row; `live_elements`: most at any time, one row."""
    per_row = (
        work.macs_double * MAC_DOUBLE_PS
        + work.macs_single * MAC_SINGLE_PS
        + work.macs_byte * MAC_BYTE_PS
        + work.streamed * STREAMED_PS
        + work.strided * STRIDED_PS
        + work.decisions * DECISION_PS
        + live_elements * LIVE_PS
    )
    memory_per_row = ARENA_SLACK * 8 * live_elements
    return Cost(
        gas_load=_gas(
            LOAD_PS
            + work.kernels * LOAD_KERNEL_PS
            + work.constants * LOAD_CONSTANT_PS
            + work.numbers * LOAD_NUMBER_PS
            + (work.constants + work.numbers) ** 2 * LOAD_PAIR_PS
            + work.branches * LOAD_BRANCH_PS
            + kept.gone_through * LOAD_WEIGHT_PS
            + kept.visited * LOAD_VISIT_PS
        ),
        gas_fixed=_gas(RUN_PS + work.kernels * KERNEL_PS + work.weights * WEIGHT_PS),
        gas_per_row=_gas(per_row),
        memory_bytes=SESSION_BYTES
        + KERNEL_BYTES * work.kernels
        + BRANCH_BYTES * work.branches
        + CONSTANT_BYTES * work.constants
        + NUMBER_BYTES * work.numbers
        + WEIGHT_COPIES * 8 * kept.elements
        + MAKING_BYTES * kept.largest
        + DATA_COPIES * kept.data_bytes
        + memory_per_row,
        memory_bytes_per_row=memory_per_row,
    )


def verification_gas(size_bytes: int, nodes: int) -> int:
    """What verifying a model of so many bytes and nodes is charged, before it starts. `verify(model, nodes_max=nodes)`
    refuses a model that has more nodes than were paid for."""
    return _gas(VERIFY_PS + size_bytes * VERIFY_BYTE_PS + nodes * VERIFY_NODE_PS)
