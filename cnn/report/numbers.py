"""Numbers as the page shows them."""

import math
from typing import Any

from cnn.analysis.fold_statistics import SHARES


def short(value: float) -> str:
    """Four significant digits without an exponent where that is readable."""
    return f'{value:,.4g}' if 1e-5 <= abs(value) < 1e6 or not value else f'{value:.2e}'


def share(value: float) -> str:
    """0.985 is 98.5 %."""
    return f'{100 * value:.4g} %'


def of_metric(metric: str, value: Any) -> str:
    """A metric's value: a share in per cent, anything else with four digits after the point; – where there is none."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return '–'
    return f'{100 * value:.2f} %' if metric in SHARES else f'{value:.4f}' if abs(value) < 1e4 else short(value)


def ends(metric: str, interval: Any) -> str:
    """`97.40 to 99.60 %`, or –."""
    if not isinstance(interval, list | tuple) or len(interval) != 2 or None in interval:
        return '–'
    low, high = (of_metric(metric, value) for value in interval)
    return f'{low.removesuffix(" %")} to {high}' if low.endswith(' %') else f'{low} to {high}'


def difference(metric: str, value: Any) -> str:
    """With its sign, in points of per cent where the metric is a share."""
    if value is None or not math.isfinite(value):
        return '–'
    return f'{100 * value:+.2f} points' if metric in SHARES else f'{value:+.4f}'


def seconds(value: Any) -> str:
    """`76 s`, `12 min`, `3.4 h`; – where there is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return '–'
    if value < 120:
        return f'{value:.3g} s'
    return f'{value / 60:.0f} min' if value < 7200 else f'{value / 3600:.1f} h'


def setting(value: Any) -> str:
    """A setting that was searched for: four digits are enough."""
    return short(value) if isinstance(value, float) else plain(value)


def plain(value: Any) -> str:
    """A setting: numbers short, the rest as it is."""
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, float):
        return f'{value:g}'
    return 'none' if value is None else str(value)
