"""A panel: the series of several subjects. `fertility` is embedded: the World Bank's, which statsmodels carries."""

import csv
import dataclasses
import functools
import hashlib
import importlib.resources
import io

import numpy as np

from input_pipeline import splits

# Rows of the file that are sums over countries: no subjects, since the others' data is in them.
AGGREGATES = (
    'Latin America & Caribbean (all income levels)',
    'OECD members',
    'Other small states',
    'Pacific island small states',
    'Sub-Saharan Africa (IFC classification)',
)


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """S subjects' series, equally spaced in time and without gaps, not all of one length.

    Attributes:
      name: the data set's.
      subjects: S different names.
      times: of each subject, strictly increasing: numbers, or datetime64 of months or days.
      values: of each subject, float64, finite, as many as its times.
      unit: of the values, for pictures.
      note: what was left out, in a sentence.
    """

    name: str
    subjects: tuple[str, ...]
    times: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]
    unit: str = ''
    note: str = ''

    def clocks(self) -> dict[str, np.ndarray]:
        """Subject -> its times, as `series_folds.split_series` takes them."""
        return dict(zip(self.subjects, self.times, strict=True))

    def ids(self) -> list[str]:
        """`subject@time` of every value, subject by subject."""
        return [f'{name}@{t}' for name, times in zip(self.subjects, self.times, strict=True) for t in times]

    @functools.cached_property
    def flat(self) -> np.ndarray:
        """float64 `[V]`: all values, subject by subject."""
        return np.concatenate(self.values)

    @functools.cached_property
    def subject_of(self) -> np.ndarray:
        """int64 `[V]`: whose value each of `flat` is."""
        return np.repeat(np.arange(len(self.subjects)), [len(values) for values in self.values])

    @functools.cached_property
    def bases(self) -> np.ndarray:
        """int64 `[S]`: where each subject's values begin in `flat`."""
        return np.cumsum([0, *(len(values) for values in self.values[:-1])])

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over subjects, times and values."""
        digest = hashlib.sha256('\n'.join(self.ids()).encode())
        digest.update(self.flat.astype('<f8').tobytes())
        return digest.hexdigest()

    def only(self, count: int) -> 'Panel':
        """`count` of the subjects, drawn by the hash of their names: the same ones every time; all of them for 0.

        Raises:
          ValueError: there are not so many.
        """
        if not count:
            return self
        if not 0 < count <= len(self.subjects):
            raise ValueError(f'{count} subjects of {self.name}: it has {len(self.subjects)}')
        kept = sorted(splits.hash_order(self.subjects)[:count])
        parts = (tuple(part[i] for i in kept) for part in (self.subjects, self.times, self.values))
        note = f'{self.note}; of these {count} by the hash of their names' if count < len(self.subjects) else self.note
        return Panel(self.name, *parts, self.unit, note)


@functools.cache
def fertility() -> Panel:
    """Births per woman, 1960 to 2011, of the countries that have a value for every year.

    Many of these values are interpolated between estimates for five-year periods (United Nations, World Population
    Prospects), so a year's value already knows of the years around it: series this smooth are easier to forecast than
    counts of births would be.
    """
    file = importlib.resources.files('statsmodels').joinpath('datasets/fertility/fertility.csv')
    header, *rows = csv.reader(io.StringIO(file.read_bytes().decode('utf-8-sig')))
    first = next(i for i, name in enumerate(header) if name.isdigit())
    names = [row[0] for row in rows]
    table = np.array([[float(cell) if cell.strip() else np.nan for cell in row[first:]] for row in rows])
    years = np.array(header[first:], np.int64)
    # 2012 and 2013 are columns without a value.
    known = ~np.isnan(table).all(0)
    table, years = table[:, known], years[known]
    gaps, empty = np.isnan(table).any(1), np.isnan(table).all(1)
    aggregate = np.array([name in AGGREGATES for name in names])
    kept = np.flatnonzero(~gaps & ~aggregate)
    note = (
        f'{len(kept)} countries, {years[0]} to {years[-1]}; left out of {len(rows)} rows: {aggregate.sum()} sums over '
        f'countries, {(empty & ~aggregate).sum()} without a value, {(gaps & ~empty & ~aggregate).sum()} with gaps'
    )
    subjects = tuple(names[i] for i in kept)
    return Panel('fertility', subjects, (years,) * len(kept), tuple(table[kept]), 'births per woman', note)
