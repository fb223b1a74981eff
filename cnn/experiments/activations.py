"""What a layer returns at every checkpoint of a run, on the same images: how its distribution drifts in training."""

import functools
import pathlib
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from cnn.analysis.drift import drift
from cnn.experiments import build
from cnn.experiments.errors import UserError, nearest
from cnn.ops import augment
from cnn.training.checkpoint import Checkpoints

IMAGES = 256


def check(config, outputs: int, layer: str) -> None:
    """Raises a UserError unless the config's network has a module of that path."""
    module = build.model(config, outputs)
    images = jax.ShapeDtypeStruct((1, config.image_size, config.image_size, 3), np.float32)
    keys = {stream: jax.random.key(0) for stream in ('params', 'dropout')}
    found: list[str] = []

    def watch(call, arguments, options, context):
        found.append('/'.join(context.module.path))
        return call(*arguments, **options)

    with nn.intercept_methods(watch):
        jax.eval_shape(lambda x: module.init(keys, x, train=True), images)
    if layer not in found:
        raise UserError(f'config.study.layer={layer!r} is no module of this network; {nearest(layer, found)}')


def of_run(config, info, workdir: pathlib.Path, layer: str, images: np.ndarray) -> dict[str, Any]:
    """`steps`, and what `analysis.drift.drift` says of a layer of a finished run.

    Args:
      info: the data set's entry.
      workdir: the run's, with checkpoints of one model.
      layer: path of a module, as 'conv4_3/norm2'; where there is no norm, its place returns what came in.
      images: uint8 `[B, H, W, 3]`, normalised by their own batch as in training.
    """
    module = build.model(config, build.outputs(config, info))
    checkpoints = Checkpoints(workdir / 'checkpoints')
    values = []
    for step in checkpoints.steps():
        _, arrays, _ = checkpoints.restore(checkpoints.shapes(), step=step)
        found = {name.removeprefix('model_state/'): array for name, array in arrays.items()
                 if name.startswith(('params/', 'model_state/'))}  # fmt: skip
        variables = unflatten_dict(found, sep='/')
        values.append(np.asarray(_outputs(module, layer, build.statistics(config, info, {}))(variables, images)))
    if len(values) < 2:
        raise UserError(f'config.study.layer: {workdir} keeps {len(values)} checkpoints; raise config.checkpoint.keep')
    return {'steps': checkpoints.steps(), **drift(values)}


@functools.lru_cache(maxsize=8)
def _outputs(module, layer: str, statistics):
    """The compiled function (variables, images) -> what the layer returns."""

    @jax.jit
    def outputs(variables, images):
        pixels = augment.normalize(images, *statistics)
        state = {'mutable': ['intermediates', *(name for name in variables if name != 'params')],
                 'rngs': {'dropout': jax.random.key(0)}}  # fmt: skip
        _, updates = module.apply(
            variables, pixels, train=True, capture_intermediates=lambda m, _: '/'.join(m.path) == layer, **state
        )
        return jax.tree.leaves(updates['intermediates'])[0]

    return outputs
