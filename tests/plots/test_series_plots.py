"""Forecasts beside what came, and forecasters side by side: what is drawn, in which order."""

from typing import NamedTuple

import numpy as np

from cnn.plots import series, series_comparison


class Curve(NamedTuple):
    name: str
    past_times: np.ndarray
    past: np.ndarray
    times: np.ndarray
    values: np.ndarray


def test_panels_go_from_the_best_subject_to_the_worst(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(series, '_panel', lambda axes, curve, forecast: shown.append((curve.name, forecast[0])))
    # Subject s misses by s; two examples each, of which the last counts.
    subjects = np.repeat(np.arange(11), 2)
    truth = np.zeros((22, 2))
    forecast = truth + np.where(np.arange(22) % 2, subjects, 50)[:, None]
    table = {'index': np.arange(22), 'subject': subjects, 'forecast': forecast, 'truth': truth}
    none = np.zeros(0)

    def curve(i):
        return Curve(f'subject {subjects[i]} $_{{', none, none, none, none)

    path = tmp_path / 'f.png'
    monkeypatch.setattr('matplotlib.axes.Axes.legend', lambda *a, **k: None)
    series.draw_forecasts(table, curve, str(path), unit='births')
    assert [error for _, error in shown] == [0, 2, 4, 6, 8, 10]
    assert path.stat().st_size > 3000


def test_numbers_dates_and_few_subjects_are_drawn(tmp_path):
    months = np.arange('2001-01', '2001-09', dtype='datetime64[M]')
    for times in (np.arange(2000, 2008), months, np.arange(8) / 4):
        curve = Curve('가나다', times[:6], np.arange(6.0), times[6:], np.array([6.0, 7]))
        table = {'index': np.array([3]), 'subject': np.array([1]), 'forecast': np.ones((1, 2))}
        table['truth'] = np.ones((1, 2))
        series.draw_forecasts(table, lambda _, curve=curve: curve, str(tmp_path / 'f.png'))
    assert (tmp_path / 'f.png').stat().st_size > 3000


def test_methods_are_rows_and_labels_stand_apart(tmp_path):
    methods = [
        {'name': f'method $x_{i}$', 'trained': i > 1, 'values': [0.001, 0.5, 0.1 * (i + 1)], 'mean': 0.2,
         'interval': [0.1, 0.3] if i else None, 'ahead': [0.1, 0.2]}
        for i in range(4)
    ]  # fmt: skip
    series_comparison.draw(methods, str(tmp_path / 'c.png'), unit='births', title='a title')
    assert (tmp_path / 'c.png').stat().st_size > 5000
    places = series_comparison._apart([0.2, 1.0, 0.21, 0.2], 0.1)
    assert places[1] == 1.0
    assert places[0] == 0.2
    assert (np.diff(np.sort(places)) >= 0.1 - 1e-12).all()
    assert places[3] < places[2]
