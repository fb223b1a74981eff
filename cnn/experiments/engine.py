"""What is compiled for a config, once: the step that trains and the step that scores, for one model or several at once.

Members of a group may differ in what a compiled step can take as numbers: their seed, the settings in `TRACED`, and the
statistics they normalise by. Everything else shapes the program and is the config's.
"""

from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from cnn.experiments import build, initialise, recipe, settings
from cnn.experiments.errors import UserError
from cnn.experiments.scoring import Scorer
from cnn.models import layers
from cnn.training import loop, optimizer, step

# Settings that members of one group may differ in, by their path in the config.
TRACED = ('optimizer.learning_rate', 'optimizer.weight_decay', 'optimizer.momentum', 'loss.label_smoothing')
# Each channel's mean and deviation where a member normalises by its own training images.
STATISTICS = ('mean', 'std')


class Engine:
    """The compiled parts of an experiment; several trainings of the same shapes share one.

    Args:
      config: the settings that all members share.
      info: the data set's entry.
      devices: `Replicas` or `Members`.
      total_steps: of the run, which the learning rate follows.
      steps_per_epoch: of a member's training data.
      arrays: resident data, placed once; empty for streamed batches.
      traced: which of TRACED and STATISTICS differ between members and come with each of them.
    """

    def __init__(self, config, info, devices, *, total_steps: int, steps_per_epoch: float, arrays, traced=()):
        self.config, self.info, self.devices = config, info, devices
        self.traced = tuple(traced)
        self.total_steps, self.steps_per_epoch = total_steps, steps_per_epoch
        self._resident = devices.replicate(arrays)
        self.per_dispatch = settings.steps_per_dispatch(config) if arrays else 1
        # With a rate of 1 at its peak where each member brings its own.
        peak = 1.0 if 'optimizer.learning_rate' in self.traced else config.optimizer.learning_rate
        self._unit = optimizer.schedule(config.schedule, peak, total_steps, steps_per_epoch)
        self._stages = recipe.stages(config, total_steps)
        self._frozen = None
        self._compiled = self._scorer = None

    def rate(self, at: int, member_config: Any = None) -> float:
        """The learning rate of step `at`."""
        peak = (member_config or self.config).optimizer.learning_rate if self._peak_is_given else 1.0
        return float(self._unit(at)) * peak

    @property
    def _peak_is_given(self) -> bool:
        return 'optimizer.learning_rate' in self.traced

    def task(self, given: dict[str, Any]):
        """The task with what a member brings; with {} the config's own."""
        return build.task(self.config, self.info, self.devices, given)

    def scorer(self, pipeline: Any) -> Scorer:
        """Scores models on these batches; compiled once, so that resident data must be the same every time."""
        if self._scorer is None:
            self._scorer = Scorer(self.task, pipeline, self.devices)
        return self._scorer.over(pipeline)

    def initial(self, configs: list[Any]):
        """The state before the first step, on the devices: a model for each of the members' configs."""
        # Members of one beginning are alike: what else they may differ in shapes no variable and no optimizer's state.
        fresh = {_beginning(config): config for config in configs}
        fresh = {beginning: self._initial(config) for beginning, config in fresh.items()}
        states = [fresh[_beginning(config)] for config in configs]
        if self.devices.members is None:
            return self.devices.place(states[0])
        return self.devices.place(jax.tree.map(lambda *x: np.stack([np.asarray(leaf) for leaf in x]), *states))

    def _initial(self, config):
        # Shapes are found outside the mapped axis that synchronised batch norm needs.
        alone = build.task(config, self.info, None)
        variables = initialise.variables(config, alone, build.model(config, build.outputs(config, self.info)))
        recipe.check_sizes(config, lambda c: build.task(c, self.info, None), variables, self._stages)
        self._frozen = frozen_leaves(config.optimizer.freeze, variables)
        metrics = step.zero_metrics(alone, variables, alone.dummy_batch(config.image_size), jax.random.key(0))
        given = {name: settings.field(config, name) for name in self.traced if name not in STATISTICS}
        transform = optimizer.create(config.optimizer, self._unit, given)
        return step.create_state(variables, transform, self._frozen[0], config.optimizer.ema_decay > 0, metrics)

    def bind(self, configs: list[Any], statistics: dict[str, list[Any]] | None = None):
        """(advance, given): what moves a state of `initial(configs)` by a list of batches, and the members' settings.

        Args:
          statistics: `mean` and `std` of each member, where they are traced.
        """
        keys = [jax.random.key_data(jax.random.fold_in(jax.random.key(config.seed), 1)) for config in configs]
        given = [
            {name: np.float32(statistics[name][e] if name in STATISTICS else settings.field(config, name))
             for name in self.traced}
            for e, config in enumerate(configs)
        ]  # fmt: skip
        own = (np.asarray(keys[0]), given[0])
        if self.devices.members is not None:
            own = (np.stack(keys), jax.tree.map(lambda *x: np.stack(x), *given))
        key_data, given = self.devices.place(own)
        if self._compiled is None:
            self._compiled = self._compile()
        advances = {
            size: advancer(compiled, self.devices, self._resident, key_data, given, self.per_dispatch)
            for size, compiled in self._compiled.items()
        }
        return recipe.in_stages(advances, self._stages, lambda s: loop.current_step(s, self.devices.to_host)), given

    def _compile(self):
        """The step for each image size that training goes through."""
        return {stage.size: self._compile_stage(recipe.at_stage(self.config, stage)) for stage in self._stages}

    def _compile_stage(self, c):
        kept = flatten_dict(self._frozen[1].get('batch_stats', {}))
        norms = {path[:-1] for path, frozen in kept.items() if frozen}

        def one(state, resident, batch, key, given):
            peak = given.get('optimizer.learning_rate', 1.0)
            transform = optimizer.create(c.optimizer, lambda at: peak * self._unit(at), given)
            train_step = step.train_step(
                build.task(c, self.info, self.devices, given),
                transform,
                frozen=self._frozen[0],
                frozen_state=self._frozen[1],
                axis_name=self.devices.axis_name,
                accumulate=c.optimizer.accumulate_steps,
                ema_decay=c.optimizer.ema_decay,
                unroll=jax.default_backend() == 'cpu',
            )
            with layers.still(norms):
                return train_step(state, resident, batch, key)

        return compiled_step(one, self.devices, self.per_dispatch)


def _beginning(config) -> tuple[int, str]:
    return config.seed, config.init_from


def frozen_leaves(pattern: str, variables: dict[str, Any]) -> tuple[Any, Any]:
    """Booleans over params and over the other collections: what `optimizer.freeze` finds stays as it is."""
    rest = {name: tree for name, tree in variables.items() if name != 'params'}
    if not pattern:
        return jax.tree.map(lambda _: False, variables['params']), jax.tree.map(lambda _: False, rest)
    frozen = optimizer.matching(pattern, variables['params'], 'config.optimizer.freeze')
    if all(jax.tree.leaves(frozen)):
        raise UserError(f'config.optimizer.freeze={pattern!r} freezes every parameter; nothing is left to train')
    # Statistics live under their layer's path (norm1/mean), so that a frozen layer keeps its statistics too.
    return frozen, {name: optimizer.matching(pattern, tree, name, required=False) for name, tree in rest.items()}


def compiled_step(one, devices, per_dispatch: int):
    """`one(state, resident, batch, key, given)` compiled over the devices, for one step or several to a dispatch."""

    def train_step(state, resident, batch, data, given):
        return one(state, resident, batch, jax.random.wrap_key_data(data), given)

    def train_steps(state, resident, batches, data, given, count):
        def bound(state, resident, batch, key):
            return one(state, resident, batch, key, given)

        return step.many_steps(bound)(state, resident, batches, jax.random.wrap_key_data(data), count)

    if per_dispatch == 1:
        return devices.compile(train_step, batched=(2,), arguments=5, donate=(0,), shared=(1,))
    return devices.compile(train_steps, batched=(2,), arguments=6, donate=(0,), shared=(1, 5))


def advancer(compiled, devices, resident, key_data, given, per_dispatch: int):
    """A function (state, list of host batches) -> state that runs the compiled step on them."""
    if per_dispatch == 1:
        return lambda state, batches: compiled(state, resident, devices.shard(batches[0]), key_data, given)

    def advance(state, batches):
        count = len(batches)
        padded = batches + [batches[-1]] * (per_dispatch - count)
        stacked = jax.tree.map(lambda *x: np.stack(x), *padded)
        return compiled(state, resident, devices.shard_steps(stacked), key_data, given, np.int32(count))

    return advance
