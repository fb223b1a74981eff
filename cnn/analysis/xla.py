"""Our count of operations against XLA's own, for the same network.

XLA counts two operations for a multiply-accumulate, none for taps in the padding, and one for each element of an
addition or a maximum; so does this module, from the traced steps.
"""

import dataclasses
import math

import jax

from cnn.analysis.graph import Graph
from cnn.analysis.macs import touched_macs
from cnn.analysis.propagate import Step
from cnn.analysis.rules import ELEMENTWISE

# What moves or renames numbers, and what XLA counts apart as transcendental.
_FREE = frozenset(('copy', 'device_put', 'name', 'sharding_constraint', 'stop_gradient', 'optimization_barrier'))
_TRANSCENDENTAL = frozenset(
    ('atan2', 'cbrt', 'cos', 'erf', 'exp', 'exp2', 'expm1', 'log', 'log1p', 'pow', 'rsqrt', 'sin', 'sqrt', 'tan',
     'tanh')
)  # fmt: skip

# Share of the whole within which the counts agree; ordinary networks do to a millionth.
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Operations of one forward pass: `ours` (2 x MACs without padding, and the rest) and `xla`, its cost analysis.

    `uncertain` operations are index arithmetic: XLA expands a gather into up to one for each element that is read.
    """

    ours: int
    xla: int
    uncertain: int

    @property
    def difference(self) -> float:
        """Share of XLA's count by which ours differs."""
        return abs(self.ours - self.xla) / max(self.xla, 1)

    @property
    def agrees(self) -> bool:
        return abs(self.ours - self.xla) <= TOLERANCE * self.xla + self.uncertain


def compare(graph: Graph) -> Agreement:
    """Lowers the traced network and asks XLA for its count; nothing is compiled for speed or run."""
    ours = sum(step.repeats * operations(step) for step in graph.steps)
    analysis = jax.jit(graph.forward).lower(graph.variables, graph.input).cost_analysis()
    read = sum(s.repeats * math.prod(s.eqn.outvars[0].aval.shape) for s in graph.steps if s.primitive == 'gather')
    return Agreement(ours, int(analysis['flops']), read)


def operations(step: Step) -> int:
    """Floating point operations of one step as XLA counts them."""
    name, eqn = step.primitive, step.eqn
    out = math.prod(eqn.outvars[0].aval.shape)
    if name in ('conv_general_dilated', 'dot_general'):
        return 2 * touched_macs(eqn)
    if name.startswith('reduce_window'):
        return out * (math.prod(eqn.params['window_dimensions']) - 1)
    if name.startswith('reduce_') and 'axes' in eqn.params:
        return math.prod(eqn.invars[0].aval.shape) - out
    if name == 'logistic':
        # Written out as 1 / (1 + exp(-x)).
        return 3 * out
    if name in ELEMENTWISE and name not in _FREE and name not in _TRANSCENDENTAL:
        return out
    return 0
