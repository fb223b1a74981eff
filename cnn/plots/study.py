"""The picture of a study, by its kind, from what `study.json` holds."""

import pathlib
from collections.abc import Mapping
from typing import Any

from cnn.plots import folds, study_capacity, study_cost, study_curves, study_over

KINDS = ('curves', 'arms', 'over', 'cost', 'capacity')


def draw(document: Mapping[str, Any], folder: str) -> list[str]:
    """Writes `study.png` into a folder and returns the names of what was written.

    Raises:
      ValueError: an unknown kind.
    """
    show, path = document['plot'], str(pathlib.Path(folder) / 'study.png')
    if show['kind'] not in KINDS:
        raise ValueError(f'config.study.show.kind={show["kind"]!r} is unknown; there are {", ".join(KINDS)}')
    if show['kind'] == 'arms':
        folds.draw_settings([_setting(arm, show['metric']) for arm in document['arms']], path, metric=show['metric'],
                            of='seeds')  # fmt: skip
    else:
        module = {'curves': study_curves, 'over': study_over, 'cost': study_cost, 'capacity': study_capacity}
        module[show['kind']].draw(document, path)
    return ['study.png']


def _setting(arm: Mapping[str, Any], metric: str) -> dict[str, Any]:
    return {
        'name': arm['name'],
        'values': [value for value in arm['values'][metric] if value is not None],
        'mean': arm['mean'][metric],
        'interval': arm['interval'][metric],
        'method': 'none: equal values or one seed have no spread',
        'confidence': 0.95,
    }
