"""A network as a list of steps: traced without numbers, with every step's module and receptive field.

`model.apply` is traced to a jaxpr on abstract values, so ResNet-152 takes a second and no memory. An interceptor marks
what every module returns with an identity operation and opens a name scope around its call; both stay in the jaxpr, so
each of its operations can be led back to the module that made it.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from cnn.analysis import fields, propagate
from cnn.ops import backend

_SCOPE = 'call:'


@dataclasses.dataclass
class Call:
    """One call of one module. `path` is '' for the network itself; `outputs` are the shapes and dtypes it returned."""

    index: int
    path: str
    module: nn.Module
    parent: int | None
    outputs: list[jax.ShapeDtypeStruct] = dataclasses.field(default_factory=list)
    has_children: bool = False

    @property
    def kind(self) -> str:
        return type(self.module).__name__


@dataclasses.dataclass
class Graph:
    """A traced network.

    Attributes:
      input: shape and dtype of the image.
      calls: module calls in order of their beginning; the network itself comes first.
      steps: primitive operations in order.
      variables: the tree of shapes that `init` makes.
      outputs: what the network returned, by name: (shape and dtype, field). Endpoints go by their own names, the first
        member of a pair is 'output'.
      forward: the traced function of (variables, image), and its `jaxpr`.
    """

    input: jax.ShapeDtypeStruct
    calls: list[Call]
    steps: list[propagate.Step]
    variables: Any
    outputs: dict[str, tuple[jax.ShapeDtypeStruct, fields.Field | None]]
    forward: Callable
    jaxpr: Any


def trace(
    model: nn.Module, input_shape: tuple[int, ...], *, spatial_axes: int = 2, dtype=jnp.float32, **kwargs
) -> Graph:
    """Traces `model.apply(variables, x, train=False, **kwargs)`.

    Args:
      model: any Flax module that takes one array; `train=False` is passed where its `__call__` has such an argument.
      input_shape: `[B, H, W, C]`; without its batch, a batch of one.
      spatial_axes: how many axes follow the batch and are space: 2 for images, 1 for series `[B, T, C]`.

    Raises:
      ValueError: if `input_shape` has neither `spatial_axes + 1` nor `spatial_axes + 2` numbers.
    """
    x = jax.ShapeDtypeStruct(_with_batch(tuple(input_shape), spatial_axes), dtype)
    if 'train' in inspect.signature(type(model).__call__).parameters:
        kwargs.setdefault('train', False)
    calls: list[Call] = []

    def init(key, x):
        return model.init({'params': key, 'dropout': key}, x, **kwargs)

    def forward(variables, x):
        # One convolution is one operation, whatever is fast on this machine.
        with backend.lowering('plain'):
            return model.apply(variables, x, **kwargs)

    variables = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)), x)
    with nn.intercept_methods(_marker(calls)):
        closed, shapes = jax.make_jaxpr(forward, return_shape=True)(variables, x)
    entering: list[fields.Field | None] = [None] * len(closed.jaxpr.invars)
    entering[-1] = fields.of_image(spatial_axes)
    steps, results = propagate.run(closed.jaxpr, entering, _call_of)
    leaves = jax.tree_util.tree_flatten_with_path(shapes)[0]
    outputs = {_name(path): (leaf, field) for (path, leaf), field in zip(leaves, results, strict=True)}
    return Graph(x, calls, steps, variables, outputs, forward, closed.jaxpr)


def _with_batch(shape: tuple[int, ...], spatial_axes: int) -> tuple[int, ...]:
    if len(shape) == spatial_axes + 1:
        return (1, *shape)
    if len(shape) != spatial_axes + 2:
        raise ValueError(
            f'input_shape {shape} should be a batch, {spatial_axes} spatial axes and channels; '
            'leave the batch out for a batch of one'
        )
    return shape


def _marker(calls: list[Call]):
    """The interceptor that records calls, scopes their operations and marks their outputs."""
    open_calls: list[Call] = []

    def intercept(method, args, kwargs, context):
        if context.method_name != '__call__':
            return method(*args, **kwargs)
        parent = open_calls[-1] if open_calls else None
        call = Call(len(calls), '/'.join(context.module.path), context.module, parent.index if parent else None)
        calls.append(call)
        if parent:
            parent.has_children = True
        open_calls.append(call)
        try:
            with jax.named_scope(f'{_SCOPE}{call.index}'):
                output = method(*args, **kwargs)
        finally:
            open_calls.pop()
        return jax.tree.map(lambda leaf: _mark(leaf, call), output)

    return intercept


def _mark(leaf, call: Call):
    if not isinstance(leaf, jax.Array):
        return leaf
    call.outputs.append(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
    return checkpoint_name(leaf, f'{_SCOPE}{call.index}')


def _call_of(eqn) -> int | None:
    """The innermost module call whose scope an equation carries."""
    if eqn.primitive.name == 'name' and eqn.params['name'].startswith(_SCOPE):
        return int(eqn.params['name'][len(_SCOPE) :])
    for scope in reversed(str(eqn.source_info.name_stack).split('/')):
        if scope.startswith(_SCOPE):
            return int(scope[len(_SCOPE) :])
    return None


def _name(path) -> str:
    """'[1]['conv1']' of a tree path -> 'conv1'; the first member of a pair is 'output'."""
    keys = [str(getattr(key, 'key', getattr(key, 'name', getattr(key, 'idx', key)))) for key in path]
    if keys[:1] == ['0'] or not keys:
        return '/'.join(['output', *keys[1:]])
    return '/'.join(keys[1:] if keys[:1] == ['1'] else keys)
