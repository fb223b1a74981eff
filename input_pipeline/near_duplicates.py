"""Images that are nearly the same, and whether folds part them: a test part then holds what was trained on.

Candidates are images whose perceptual hashes differ in a few bits, moved by up to a pixel of the thumbnail (3 % of the
image); a candidate counts where the fine shapes of the thumbnails correlate strongly. How strongly depends on the
data: different photographs seldom reach 0.8, and of 1e7 pairs of digits 37 reach 0.98. So the threshold is 0.93, and
nearer to 1 where a sample of unrelated images says so.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from input_pipeline import perceptual_hash as looks
from input_pipeline.fold_file import Fold
from input_pipeline.hamming import near_pairs

# Photographs that were recompressed at quality 30, brightened or moved by 1 to 3 % keep more, with few exceptions. Of
# CIFAR-10's 60,000 images 555 pairs reach it; of the 36 just above it nearly all are one picture or one series.
LEAST = 0.93
# A pair must be five times as near to 1 as unrelated images come. Of the 5,000 digits, which come to 0.946, no pair is
# above the threshold of 0.989 then, while copies recompressed at quality 30, brightened or moved by a pixel are.
_SHARE = 0.2


class Found(NamedTuple):
    """Near-duplicate pairs, the most alike first.

    Attributes:
      i, j: int64 `[M]`, i < j: indices of the images. Of several with one and the same thumbnail each is paired with
        the first only; `families` joins them.
      distance: int `[M]`, bits in which the hashes differ, 0 to `max_distance`.
      correlation: float32 `[M]` of the fine shapes, `threshold` to 1.
      threshold: the correlation that a pair had to reach.
      alike: the correlation that unrelated images of this set come to, see `unrelated`.
      unreadable: indices of images that could not be decoded.
      count: N.
    """

    i: np.ndarray
    j: np.ndarray
    distance: np.ndarray
    correlation: np.ndarray
    threshold: float
    alike: float
    unreadable: list[int]
    count: int


def find(images, max_distance: int = 7, *, min_correlation: float = 0.0, seed: int = 0) -> Found:
    """Near-duplicates among N images.

    Found are copies that were recompressed, rescaled, brightened or darkened, moved by up to 3 % of the side; of copies
    cropped by 3 % about half; turned or mirrored ones are not.

    Args:
      images: a source, or uint8 `[N, H, W]` or `[N, H, W, C]`.
      max_distance: bits of the hash, 0 to 11.
      min_correlation: 0 derives the threshold from the data, see above.
      seed: of the sample of unrelated pairs.
    """
    thumbs, unreadable = looks.thumbnails(images)
    alike = unrelated(thumbs, seed)
    threshold = min_correlation or max(LEAST, 1 - _SHARE * (1 - alike))
    readable = np.setdiff1d(np.arange(len(thumbs)), unreadable)
    first, copies = _distinct(thumbs, readable)
    kept = first[thumbs[first].std((1, 2)) >= looks.FLAT]
    i, j, distance, correlation = _near(thumbs[kept], max_distance, threshold)
    same, copies = readable[copies != readable], copies[copies != readable]
    a, b = np.concatenate([copies, kept[i]]), np.concatenate([same, kept[j]])
    distance = np.concatenate([np.zeros(len(same), np.int64), distance])
    correlation = np.concatenate([np.ones(len(same), np.float32), correlation])
    order = np.lexsort((b, a, -correlation))
    return Found(a[order], b[order], distance[order], correlation[order], threshold, alike, unreadable, len(thumbs))


def across(found: Found, folds: Sequence[Fold]) -> dict[str, np.ndarray]:
    """Fold name -> indices of its test examples that have a near-duplicate in its training part; clean folds have none.

    Duplicates are taken by families: of three copies one in training touches both others.
    """
    family, leaks = families(found), {}
    for fold in folds:
        trained = np.zeros(found.count, bool)
        trained[family[fold.train]] = True
        touched = fold.test[trained[family[fold.test]]]
        if len(touched):
            leaks[fold.name] = touched
    return leaks


def families(found: Found) -> np.ndarray:
    """int64 `[N]`: one number for images joined by pairs; as `groups` of grouped folds it keeps them together."""
    ones = np.ones(len(found.i), bool)
    graph = sparse.coo_matrix((ones, (found.i, found.j)), shape=(found.count, found.count))
    return sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


def report(found: Found, folds: Sequence[Fold], ids: Sequence[str]) -> str:
    """One line for the log: how many pairs, across how many folds, the most alike by name."""
    text = f'{len(found.i)} near-duplicate pairs (correlation {found.threshold:.3f} or more) in {found.count:,} images'
    if not len(found.i):
        return text
    leaks = across(found, folds)
    text += f', such as {ids[found.i[0]]} and {ids[found.j[0]]}'
    if not leaks:
        return f'{text}; no fold parts them'
    total, worst = sum(map(len, leaks.values())), max(leaks, key=lambda name: len(leaks[name]))
    text += f'; in {len(leaks)} of {len(folds)} folds {total} test examples have one in the training part'
    return f'{text}, most in {worst} ({len(leaks[worst])}): scores there flatter'


def unrelated(thumbs: np.ndarray, seed: int = 0) -> float:
    """How near unrelated images come: the 99th percentile of the correlation with the fourth nearest of 1,000 others.

    The fourth, because up to three may be copies: a set of which every image is there twice must not count as one whose
    images are alike. From up to a million pairs; 0 for fewer than eight images.
    """
    order = np.random.default_rng(seed).permutation(len(thumbs))
    half = min(1000, len(order) // 2)
    if half < 4:
        return 0.0
    a, b = (looks.details(thumbs[order[start : start + half]]) for start in (0, half))
    best, fixed = np.full((half, half), -1, np.float32), looks.cuts(a)
    for shift in looks.SHIFTS:
        np.maximum(best, fixed @ looks.cuts(b, *shift).T, out=best)
    return float(np.quantile(np.partition(best, -4, axis=1)[:, -4], 0.99))


def _distinct(thumbs, readable):
    """Sorted indices of the first image of each distinct thumbnail; for each readable image the first of its like."""
    seen: dict[bytes, int] = {}
    copies = np.array([seen.setdefault(thumbs[i].tobytes(), int(i)) for i in readable], np.int64)
    return np.array(list(seen.values()), np.int64), copies


def _near(thumbs, max_distance, threshold):
    """Pairs of distinct thumbnails: candidates by hash, kept by correlation."""
    count, table, parts = len(thumbs), looks.hashes(thumbs), []
    # A move of i against j is the opposite move of j against i: half of them are enough.
    for shift in looks.SHIFTS[4:]:
        queries = table if shift == (0, 0) else looks.hashes(looks.shifted(thumbs, *shift))
        for i, j, distance in near_pairs(queries, table, max_distance):
            apart = i != j
            low, high = np.minimum(i[apart], j[apart]), np.maximum(i[apart], j[apart])
            parts.append(np.stack([low * count + high, distance[apart].astype(np.int64)]))
        parts = [_merged(parts)]
    codes, distance = parts[0]
    i, j = np.divmod(codes, max(1, count))
    correlation = np.zeros(len(i), np.float32)
    for start in range(0, len(i), 4096):
        some = slice(start, start + 4096)
        correlation[some] = _correlation(thumbs, i[some], j[some])
    kept = correlation >= threshold
    return i[kept], j[kept], distance[kept], correlation[kept]


def _merged(parts):
    """Each pair once, with its least distance."""
    codes, distance = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), np.int64)
    order = np.lexsort((distance, codes))
    codes, distance = codes[order], distance[order]
    fresh = np.concatenate([[True], codes[1:] != codes[:-1]])[: len(codes)]
    return np.stack([codes[fresh], distance[fresh]])


def _correlation(thumbs, i, j):
    (first, a), (second, b) = (np.unique(k, return_inverse=True) for k in (i, j))
    fixed, moving = looks.cuts(looks.details(thumbs[first]))[a], looks.details(thumbs[second])
    products = [np.einsum('nd,nd->n', fixed, looks.cuts(moving, *shift)[b]) for shift in looks.SHIFTS]
    return np.max(products, axis=0)
