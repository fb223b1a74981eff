"""What a study measured: an arm a row, a value a seed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Row:
    """One arm.

    Attributes:
      name: of the arm, with the settings that vary: 'with learning_rate=0.1'; of a single arm these alone.
      arm: of its section alone: 'with'.
      settings: what it changes of the config, by path.
      values: metric -> one value for each seed, in the order of the table's seeds; NaN where there is none.
      timings: what was timed -> seconds, one for each round in which every arm was timed once.
      facts: what is counted and the same for every seed: `parameters`, `macs`.
      diverged: seed -> the step at which its loss was no longer finite.
    """

    name: str
    arm: str
    settings: Mapping[str, Any]
    values: Mapping[str, Sequence[float]]
    timings: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    diverged: Mapping[int, int] = dataclasses.field(default_factory=dict)


class MissingError(ValueError):
    """A table lacks an arm or a metric that a claim speaks of."""


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of a study in its order, and the seeds that their values belong to."""

    rows: tuple[Row, ...]
    seeds: tuple[int, ...]

    def row(self, name: str) -> Row:
        """The arm of that name; MissingError where it was not trained."""
        found = [row for row in self.rows if row.name == name]
        if not found:
            raise MissingError(f'{name} was not trained')
        return found[0]

    def reference(self, row: Row) -> Row:
        """What a row is compared to: the first arm with the same settings; of a single arm the first row."""
        first = self.rows[0]
        if len({other.arm for other in self.rows}) == 1:
            return first
        return self.row(first.arm + row.name.removeprefix(row.arm))

    def values(self, name: str, metric: str) -> np.ndarray:
        """float64 `[seeds]` of an arm's metric; of a timing `[rounds]`.

        Raises:
          MissingError: the arm was not trained, or has no such values.
        """
        row = self.row(name)
        found = row.timings.get(metric) if metric in row.timings else row.values.get(metric)
        if found is None:
            raise MissingError(f'{name} has no {metric}')
        return np.asarray(found, float)

    def along(self, path: str, arm: str = '') -> list[Row]:
        """The rows (of one arm, where it is named) by the value of the setting at `path`, the smallest first.

        Raises:
          MissingError: there are fewer than two.
        """
        found = [row for row in self.rows if path in row.settings and arm in ('', row.arm)]
        if len(found) < 2:
            raise MissingError(f'{arm or "the study"} has fewer than two values of {path}')
        return sorted(found, key=lambda row: row.settings[path])
