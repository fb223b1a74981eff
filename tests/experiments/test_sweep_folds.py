"""What scores a sweep's trials: drawn by the seed, by the rule of the folds, kept in the workdir."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from cnn.experiments import sweep_folds
from cnn.experiments.errors import UserError
from configs import forecast, resnet
from input_pipeline import series
from input_pipeline.series_panel import Panel

LABELS = np.repeat(np.arange(4), [80, 40, 40, 40])


class Source:
    """200 examples of four classes, a prefix for each ten."""

    def __init__(self, labels=LABELS):
        self.labels, self.info = labels, SimpleNamespace(provides=('labels',) if labels is not None else ())

    def __len__(self):
        return 200

    def example_id(self, i):
        return f'g{i // 10}/{i:03}'


def config(**changes):
    c = resnet.get_config()
    for path, value in changes.items():
        section, name = path.split('__')
        c[section][name] = value
    return c


def test_a_fifth_of_each_class_is_held_out_and_kept(tmp_path):
    (fold,) = sweep_folds.folds_of(config(), Source(), tmp_path)
    assert np.bincount(LABELS[fold.test]).tolist() == [16, 8, 8, 8]
    assert sorted([*fold.train, *fold.test]) == list(range(200))
    (again,) = sweep_folds.folds_of(config(), Source(), tmp_path)
    assert again.test.tolist() == fold.test.tolist()
    (elsewhere,) = sweep_folds.folds_of(config(), Source(), tmp_path / 'other')
    assert elsewhere.test.tolist() == fold.test.tolist()
    c = config()
    c.seed = 1
    (other,) = sweep_folds.folds_of(c, Source(), tmp_path / 'seed')
    assert other.test.tolist() != fold.test.tolist()


def test_groups_stay_together_and_what_has_no_labels_is_held_out_all_the_same(tmp_path):
    c = config(folds__kind='grouped', folds__groups='id:(g[0-9]+)/')
    (fold,) = sweep_folds.folds_of(c, Source(), tmp_path / 'a')
    assert not set(fold.train // 10) & set(fold.test // 10)
    (fold,) = sweep_folds.folds_of(config(sweep__fraction=0.3), Source(labels=None), tmp_path / 'b')
    assert len(fold.test) == 60


def test_folds_are_those_of_a_cross_validation(tmp_path):
    c = config(sweep__objective='cross_validate', folds__count=4)
    folds = sweep_folds.folds_of(c, Source(), tmp_path)
    assert sorted(i for fold in folds for i in fold.test) == list(range(200))
    c.folds.file = str(tmp_path / 'folds.json')
    same = sweep_folds.folds_of(c, Source(), tmp_path / 'b')
    assert [f.test.tolist() for f in same] == [f.test.tolist() for f in folds]


OTHERS = ({'sweep__fraction': 0.3}, {'folds__kind': 'plain'}, {'sweep__objective': 'cross_validate'})


@pytest.mark.parametrize('change', OTHERS)
def test_others_in_the_same_workdir_are_refused(tmp_path, change):
    sweep_folds.folds_of(config(), Source(), tmp_path)
    before = json.loads((tmp_path / 'folds.json').read_text())
    with pytest.raises(UserError, match=r'folds.json was made with another .*; use a new workdir'):
        sweep_folds.folds_of(config(**change), Source(), tmp_path)
    assert json.loads((tmp_path / 'folds.json').read_text()) == before


def panel():
    """Two subjects, one of which begins three years later."""
    times = (np.arange(2000, 2030), np.arange(2003, 2030))
    return Panel('p', ('a', 'b'), times, tuple(np.sin(t / 3.0) for t in times), '')


def test_of_series_the_latest_times_score_and_nothing_of_them_is_fitted_on(tmp_path):
    source = series.SeriesSource.of(panel(), 4, 3)
    c = forecast.get_config('past=4,horizon=3')
    (fold,) = sweep_folds.folds_of(c, source, tmp_path)

    def forecast_years(i):
        t = panel().times[source.subject[i]]
        return {int(year) for year in t[source.origin[i] + 1 : source.origin[i] + 4]}

    fitted = set().union(*(forecast_years(i) for i in fold.train))
    scored = set().union(*(forecast_years(i) for i in fold.test))
    # First years of what is forecast: 2004 to 2027, of which the last fifth begins with 2023.
    assert max(fitted) == 2022
    assert scored == set(range(2023, 2030))
    assert {source.subject[i] for i in fold.test} == {0, 1}


def test_series_have_no_such_folds(tmp_path):
    c = forecast.get_config('past=4,horizon=3')
    c.sweep.objective = 'cross_validate'
    source = series.SeriesSource.of(panel(), 4, 3)
    with pytest.raises(UserError, match='scored by the latest times'):
        sweep_folds.folds_of(c, source, tmp_path)
    c.sweep.objective, c.sweep.fraction = 'holdout', 0.99
    with pytest.raises(UserError, match='leaves nothing to fit on before 2005'):
        sweep_folds.folds_of(c, source, tmp_path)
