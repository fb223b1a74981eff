"""The arms of a study: named changes of one config, crossed with a grid.

The section `study.arms` has a section for each arm, which holds what it changes of the config's own fields, whatever
they are; `study.vary` is a grid (grid.py) that every arm is crossed with.
"""

import dataclasses
from typing import Any

from cnn.experiments import grid, settings
from cnn.experiments.errors import UserError, nearest


@dataclasses.dataclass(frozen=True)
class Arm:
    """One of them.

    Attributes:
      name: the section's with the grid's values, 'with learning_rate=0.1'; of a single section these alone.
      section: the section's.
      values: what it changes, by path.
      config: what its runs are trained with, without the section `study`.
      examples: training examples drawn for each seed; 0 for all.
    """

    name: str
    section: str
    values: dict[str, Any]
    config: Any
    examples: int


def of(config) -> list[Arm]:
    """The arms of `config.study.order`, each checked.

    Raises:
      UserError: no arms, one that has no section or is named twice, a field that the config lacks or of another type, a
        value that a run would be refused for.
    """
    sections = config.study.arms
    order = [name.strip() for name in config.study.order.split(',') if name.strip()]
    if not order or len(set(order)) < len(order):
        raise UserError(f'config.study.order={config.study.order!r} must name each arm that is trained once')
    found = []
    for name in order:
        if name not in sections:
            raise UserError(f'config.study.order names {name!r}, which has no section; {nearest(name, sections)}')
        section = sections[name]
        own = {path: _typed(config, name, path, settings.field(section, path)) for path in grid.paths(section)}
        for varied in grid.settings_of(config, config.study.vary):
            if both := set(own) & set(varied):
                raise UserError(f'config.study.vary and the arm {name} both set {min(both)}')
            label = grid.name_of(varied) if len(order) == 1 else f'{name} {grid.name_of(varied)}'
            found.append(_arm(config, label.strip() or name, name, own | varied))
    return found


def _arm(config, name: str, section: str, values: dict[str, Any]) -> Arm:
    for path in values:
        grid.check_comparable(config, path)
    trained = grid.applied(config, values)
    examples = trained.study.examples
    if examples < 0:
        raise UserError(f'config.study.examples={examples} must not be negative; 0 is all')
    with trained.unlocked():
        del trained['study']
    settings.check(trained)
    return Arm(name, section, values, trained, examples)


def _typed(config, arm: str, path: str, value: Any) -> Any:
    try:
        now = settings.field(config, path)
    except (KeyError, AttributeError, TypeError):
        raise UserError(
            f'config.study.arms.{arm} sets {path!r}, which the config lacks; {nearest(path, grid.paths(config))}'
        ) from None
    if isinstance(now, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(now):
        raise UserError(f'config.study.arms.{arm}.{path}={value!r} takes {type(now).__name__}')
    return value
