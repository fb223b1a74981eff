"""Whether an exported program says what the model says: differences, and what they may be.

Numbers may differ by `TOLERANCE` of the largest one, for sums are added up in another order elsewhere. Classes of
pixels flip where two are equally likely to that precision: a share of `SHARE` must agree. Detections are a ranked list,
in which equals may change places: that share of them must be found again.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

TOLERANCE = {'float32': 1e-4, 'bfloat16': 0.05}
SHARE = 0.99
# How far apart, as a share of the input's side, corners of the same detection may lie.
BOX = 2e-3


def compare(want: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], *, precision: str, side: int) -> dict:
    """By output the difference found, what is allowed, and whether it `agrees`; ranked detections as one, by matches.

    Args:
      want, got: outputs by name, of the model and of the exported program.
      precision: that the program computes in, a key of TOLERANCE.
      side: of the input, in pixels, that boxes are measured by.
    """
    found, tolerance = {}, TOLERANCE[precision]
    rest = dict(want)
    if {'boxes', 'scores', 'labels'} <= set(want):
        found['detections'] = _detections(want, got, tolerance, BOX * side)
        rest = {n: v for n, v in want.items() if n not in ('boxes', 'scores', 'labels', 'source_boxes')}
    for name, value in rest.items():
        other = got[name]
        if value.shape != other.shape or value.dtype != other.dtype:
            theirs, ours = (f'{v.dtype} {list(v.shape)}' for v in (other, value))
            found[name] = {'agrees': False, 'why': f'{theirs} instead of {ours}'}
        elif value.dtype.kind == 'f':
            found[name] = _numbers(value, other, tolerance)
        else:
            share = float(np.mean(value == other)) if value.size else 1.0
            found[name] = {'agrees': share >= SHARE, 'share_equal': share, 'least_share': SHARE}
    return found


def _numbers(want: np.ndarray, got: np.ndarray, tolerance: float) -> dict[str, Any]:
    limit = tolerance * float(np.abs(want).max(initial=0))
    difference = float(np.abs(want - got).max(initial=0))
    # A NaN agrees with nothing.
    return {'agrees': bool(difference <= limit), 'largest_difference': difference, 'allowed': limit}


def _detections(want, got, tolerance: float, distance: float) -> dict[str, Any]:
    matched = total = 0
    for b in range(len(want['labels'])):
        ours, theirs = (np.flatnonzero(d['labels'][b] >= 0) for d in (want, got))
        total += max(len(ours), len(theirs))
        same = want['labels'][b][ours, None] == got['labels'][b][None, theirs]
        scores = np.abs(want['scores'][b][ours, None] - got['scores'][b][None, theirs]) <= tolerance
        corners = np.abs(want['boxes'][b][ours, None] - got['boxes'][b][None, theirs]).max(-1, initial=0) <= distance
        matched += int((same & scores & corners).any(1).sum())
    share = matched / total if total else 1.0
    return {'agrees': share >= SHARE, 'matched': matched, 'of': total, 'least_share': SHARE,
            'box_distance': distance, 'score_difference': tolerance}  # fmt: skip


def disagreement(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The outputs that do not agree, in words; '' where all do."""
    wrong = {name: {k: v for k, v in entry.items() if k != 'agrees'} for name, entry in found.items()
             if not entry['agrees']}  # fmt: skip
    return '; '.join(f'{name}: ' + ', '.join(f'{k} {v}' for k, v in entry.items()) for name, entry in wrong.items())
