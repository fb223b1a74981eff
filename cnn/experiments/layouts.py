"""How members share the devices, and which way is the fastest: found by trying each for a few steps."""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax

from cnn.experiments import build
from cnn.experiments.errors import UserError, nearest
from cnn.ops import backend
from cnn.training.members import Members

NAMES = ('auto', 'stacked', 'spread', 'sequential', 'together')
_STEPS = 3  # timed, after one that compiles
# A layout whose compilation would take more than this share of what it could save is not tried.
_WORTH = 0.25


@dataclasses.dataclass(frozen=True)
class Layout:
    """`size` members at once, spread over `device_count` devices (0: one member over all of them)."""

    name: str
    size: int = 1
    device_count: int = 0

    def devices(self, config) -> Any:
        """`Replicas` or `Members`."""
        if self.name == 'sequential':
            return build.replicas(config)
        form = build.stacking(config)
        return Members(
            self.size, device_count=self.device_count, form=form, compiler_options=backend.compiler_options()
        )

    def of(self, size: int) -> 'Layout':
        """The same for `size` members."""
        return self if self.name == 'sequential' else Layout(self.name, size, min(self.device_count, size))

    def chunks(self, parts: Sequence[Any]) -> list[list[Any]]:
        """The parts as they are trained together; the last chunk may be smaller."""
        return [list(parts[i : i + self.size]) for i in range(0, len(parts), self.size)]


def choose(group, parts: Sequence[Any], name: str, at_once: int) -> Layout:
    """The layout called `name` for these parts, or with `auto` the one that a trial finds fastest.

    Args:
      group: makes pipelines and engines (group._Group), and is told what was measured by its `note`.

    Raises:
      UserError: an unknown layout, or one that does not suit.
    """
    if name not in NAMES:
        raise UserError(f'config.folds.layout={name!r} is unknown; {nearest(name, NAMES)}')
    possible = _possible(group.config, len(parts), at_once)
    if name == 'together':
        # As many at once as there are, without a trial.
        return next(possible[n] for n in ('spread', 'stacked', 'sequential') if n in possible)
    if name != 'auto':
        if name not in possible:
            why = 'there is one device' if name == 'spread' and len(parts) > 1 else 'there is one member to train'
            if name == 'spread' or len(parts) > 1:
                raise UserError(f'config.folds.layout={name}: {why}; use stacked or sequential')
            name = 'sequential'
        return possible[name]
    if len(possible) == 1:
        return possible['sequential']
    return _fastest(group, parts, possible)


def _possible(config, count: int, at_once: int) -> dict[str, Layout]:
    found = {'sequential': Layout('sequential')}
    size = min(count, at_once or count)
    if size < 2 or jax.process_count() > 1:
        return found
    found['stacked'] = Layout('stacked', size, 1)
    devices = min(config.devices or len(jax.local_devices()), size)
    if devices > 1:
        found['spread'] = Layout('spread', size, devices)
    return found


def _fastest(group, parts, possible: dict[str, Layout]) -> Layout:
    """Times each layout and tells the group; estimates are of the whole work, compilation included."""
    seconds, said, compiling = {}, [], 0.0
    for name, layout in possible.items():
        if name != 'sequential' and jax.default_backend() == 'cpu':
            # Side by side, a program is as many times as long, and so is its compilation.
            expected = compiling * (1 if layout.devices(group.config).form == 'vmap' else layout.size)
            if expected > _WORTH * seconds['sequential']:
                said.append(f'{name} not tried: compiling it would take some {expected:.0f} s')
                continue
        compiling, step = _trial(group, layout.chunks(parts)[0], layout)
        seconds[name] = compiling + len(layout.chunks(parts)) * step * group.plan.total
        said.append(f'{name} {1e3 * step / layout.size:.1f} ms a member and step, {compiling:.0f} s to compile')
    best = min(seconds, key=seconds.get)
    group.forget(possible[best])
    group.note(f'layout {best}, of a trial of {_STEPS} steps each: {"; ".join(said)}')
    return possible[best]


def _trial(group, chunk, layout: Layout) -> tuple[float, float]:
    """Seconds of the first step, which compiles, and of a later one."""
    batches, members = group.pipelines(chunk, layout)
    engine = group.engine(layout, batches.train, members[0].info)
    configs = [member.config for member in members]
    state = engine.initial(configs)
    advance, _ = engine.bind(configs, {name: [getattr(m.info, name) for m in members] for name in ('mean', 'std')})
    taken_from, times = batches.train.batches(0), []
    for _ in range(1 + _STEPS):
        taken = [next(taken_from) for _ in range(engine.per_dispatch)]
        started = time.perf_counter()
        state = jax.block_until_ready(advance(state, taken))
        times.append(time.perf_counter() - started)
    step = statistics.median(times[1:]) / engine.per_dispatch
    return max(times[0] - step, 0.0), step
