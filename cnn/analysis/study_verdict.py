"""From a study's table to a verdict in words that the data support.

A claim predicts that some quantity is above zero, in every seed's own numbers: differences between arms of one seed,
which share the order of the examples and, where shapes agree, the beginning. The t interval over the seeds decides:

- *supported*: it lies above zero; of a claim that predicts several things, every one does.
- *contradicted*: it lies below zero; of several, one does at a confidence that allows for their number (Bonferroni).
- *not supported by these data*: all else, which is no evidence for the opposite.

The interval is over initialisations and orders of the examples, on one training and one test set: it says nothing about
other data.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnn.analysis.fold_interval import Interval, around, deviation, finite, quantile
from cnn.analysis.study_table import MissingError, Table

SUPPORTED, UNSUPPORTED, CONTRADICTED = 'supported', 'not supported by these data', 'contradicted'
NOT_JUDGED = 'not judged'
KOREAN = {SUPPORTED: '뒷받침된다', UNSUPPORTED: '이 데이터로는 뒷받침되지 않는다', CONTRADICTED: '반박된다',
          NOT_JUDGED: '판정하지 않음'}  # fmt: skip
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Something that a claim says is above zero.

    Attributes:
      words: what is measured, as in 'train loss, plain_56 - plain_20'.
      measure: its value for each seed (or for each round of timing).
      digits: after the point, where it is said.
    """

    words: str
    measure: Callable[[Table], np.ndarray]
    digits: int = 4


@dataclasses.dataclass(frozen=True)
class Claim:
    """What is claimed, in English and Korean, by whom, and what it predicts of the table."""

    id: str
    claim: str
    claim_ko: str
    source: str
    predictions: Callable[[Table], Sequence[Prediction]]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A prediction, what was measured of it, and what it comes to."""

    words: str
    values: tuple[float, ...]
    interval: Interval
    status: str
    digits: int = 4

    def said(self) -> str:
        """`train loss, plain_56 - plain_20: +0.4120 (95 % interval +0.3000 to +0.5240, n = 3)`."""
        i, d = self.interval, self.digits
        if i.low is None:
            return f'{self.words}: {i.mean:+.{d}f} ({i.method}, n = {i.n})'
        ends = f'{100 * i.confidence:g} % interval {i.low:+.{d}f} to {i.high:+.{d}f}'
        return f'{self.words}: {i.mean:+.{d}f} ({ends}, n = {i.n})'


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a claim: `status` is one of those above, `why` says what is missing where it was not judged."""

    claim: Claim
    status: str
    findings: tuple[Finding, ...]
    why: str = ''

    def said(self) -> str:
        """The claim, the verdict (in Markdown, bold) and the numbers in one line."""
        return f'{self.claim.claim}: **{self.status}**; ' + ('; '.join(f.said() for f in self.findings) or self.why)

    def said_ko(self) -> str:
        """The claim and the verdict in Korean; the numbers are the same."""
        return f'{self.claim.claim_ko}: **{KOREAN[self.status]}**'

    def to_json(self) -> dict[str, Any]:
        """For `study.json`."""
        return {
            'id': self.claim.id,
            'claim': {'en': self.claim.claim, 'ko': self.claim.claim_ko},
            'source': self.claim.source,
            'status': {'en': self.status, 'ko': KOREAN[self.status]},
            'findings': [
                {'measured': f.words, 'values': list(f.values), 'status': f.status, **f.interval._asdict()}
                for f in self.findings
            ],
            'why': self.why,
        }


def contrast(metric: str, words: str = '', digits: int = 4, *, margin: float = 0.0, **weights: float) -> Prediction:
    """Predicts that the weighted sum of arms' values of `metric` is above `-margin`, as `plain_56=1, plain_20=-1`.

    Arms whose names are no words of Python are given as `**{'with,learning_rate=0.1': 1, ...}`.
    """
    terms = ''.join(f' {"+" if w > 0 else "-"} {"" if abs(w) == 1 else f"{abs(w):g} "}{n}' for n, w in weights.items())
    words = words or f'{metric.replace("_", " ")}, {terms.removeprefix(" + ").strip()}'
    words += f' + {margin:g}' if margin else ''

    def measure(table: Table) -> np.ndarray:
        return sum(weight * table.values(name, metric) for name, weight in weights.items()) + margin

    return Prediction(words, measure, digits)


def over_seeds(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The t interval of the mean over seeds; none of fewer than two values, or of equal ones.

    Raises:
      ValueError: no values, or one that is not finite.
    """
    values = finite(values)
    n = len(values)
    if n < 2:
        return Interval(float(values.mean()), None, None, None, None, n, confidence, 'one value has no spread')
    if values.std() <= 1e-12 * max(1e-300, np.abs(values).max()):
        why = 'equal values have no spread'
        return Interval(float(values.mean()), None, None, None, deviation(values), n, confidence, why)
    error = float(values.std(ddof=1) / np.sqrt(n))
    return around(values, quantile(n - 1, confidence) * error, error, confidence, f't over seeds, {n - 1} degrees')


def find(prediction: Prediction, table: Table, among: int = 1) -> Finding:
    """Measures a prediction, one of `among` that its claim makes.

    Raises:
      MissingError: an arm, a metric or a seed's value is missing.
    """
    values = np.asarray(prediction.measure(table), float)
    if not np.isfinite(values).all():
        raise MissingError(f'{prediction.words}: not every seed has a value')
    found, strict = over_seeds(values), over_seeds(values, 1 - (1 - CONFIDENCE) / among)
    status = UNSUPPORTED
    if found.low is not None and found.low > 0:
        status = SUPPORTED
    elif strict.high is not None and strict.high < 0:
        status = CONTRADICTED
    return Finding(prediction.words, tuple(values.tolist()), found, status, prediction.digits)


def judge(claim: Claim, table: Table) -> Verdict:
    """The verdict on a claim; not judged where the table lacks what it speaks of."""
    try:
        predictions = list(claim.predictions(table))
        findings = tuple(find(p, table, len(predictions)) for p in predictions)
    except MissingError as error:
        return Verdict(claim, NOT_JUDGED, (), str(error))
    statuses = {finding.status for finding in findings}
    if statuses == {SUPPORTED}:
        return Verdict(claim, SUPPORTED, findings)
    return Verdict(claim, CONTRADICTED if CONTRADICTED in statuses else UNSUPPORTED, findings)
