"""Learning curves: every value read is drawn, on an axis that shows it."""

import json

import numpy as np
import pytest

from cnn.plots import curves

RECORDS = [
    {'step': 10, 'split': 'train', 'loss': 2.0, 'accuracy': 0.3},
    {'step': 20, 'split': 'train', 'loss': 1.0, 'accuracy': 0.6},
    {'step': 20, 'split': 'test', 'loss': 1.5, 'accuracy': 0.5},
]


def write(path, records, tail=''):
    path.write_text(''.join(json.dumps(r) + '\n' for r in records) + tail)
    return str(path)


def lines_of(axes):
    return {line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.get_lines()}


def test_reads_what_was_written_and_drops_a_torn_last_line(tmp_path):
    assert curves.read(write(tmp_path / 'm.jsonl', RECORDS)) == RECORDS
    assert curves.read(write(tmp_path / 'm.jsonl', RECORDS, '{"step": 30, "spl')) == RECORDS
    assert curves.read(write(tmp_path / 'm.jsonl', [])) == []


@pytest.mark.parametrize('bad', ['nonsense', '[1, 2]', '{"loss": 1}'])
def test_another_bad_line_is_named(tmp_path, bad):
    path = tmp_path / 'm.jsonl'
    path.write_text(f'{json.dumps(RECORDS[0])}\n{bad}\n{json.dumps(RECORDS[1])}\n')
    with pytest.raises(ValueError, match='line 2: not a record of metrics'):
        curves.read(str(path))


def test_one_panel_a_metric_and_one_line_a_split(tmp_path, figures):
    seen = figures(curves)
    curves.draw(RECORDS, str(tmp_path / 'a.png'))
    loss, accuracy = seen[0].axes
    assert lines_of(loss) == {'train': ([10, 20], [2.0, 1.0]), 'test': ([20], [1.5])}
    assert lines_of(accuracy) == {'train': ([10, 20], [0.3, 0.6]), 'test': ([20], [0.5])}
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ['train', 'test']
    assert (loss.get_yscale(), accuracy.get_yscale()) == ('linear', 'linear')


def test_the_last_record_of_a_step_counts(tmp_path, figures):
    seen = figures(curves)
    curves.draw([*RECORDS, {'step': 20, 'split': 'train', 'loss': 0.9}], str(tmp_path / 'a.png'), metrics=['loss'])
    assert lines_of(seen[0].axes[0])['train'] == ([10, 20], [2.0, 0.9])


def test_a_loss_that_falls_far_is_logarithmic_and_an_accuracy_near_one_stretched(tmp_path, figures):
    steps = np.arange(1, 30)
    records = [
        {'step': int(s), 'split': 'train', 'loss': float(2 * np.exp(-s / 4)), 'accuracy': float(1 - 0.5**s)}
        for s in steps
    ]
    seen = figures(curves)
    curves.draw(records, str(tmp_path / 'a.png'))
    loss, accuracy = seen[0].axes
    assert loss.get_yscale() == 'log'
    assert accuracy.get_yscale() == 'function'
    assert accuracy.get_ylim()[1] == pytest.approx(1)
    ticks = [t.get_text() for t in accuracy.get_yticklabels()]
    assert {'90 %', '99 %', '99.9 %', '100 %'} <= set(ticks)
    # 99 and 99.5 % are as far apart as 98 and 99: what the axis is for.
    places = accuracy.transData.transform([(0, v) for v in (0.98, 0.99, 0.995, 1.0)])[:, 1]
    assert places[2] - places[1] > 0.7 * (places[1] - places[0])
    assert np.isfinite(places).all()


def test_the_stretch_has_an_inverse():
    shares = np.linspace(0, 1, 101)
    np.testing.assert_allclose(curves._unstretch(curves._stretch(shares)), shares, atol=1e-12)


def test_a_crowded_line_gets_its_running_mean(tmp_path, figures):
    values = np.tile([1.0, 3.0], 120)
    records = [{'step': i, 'split': 'train', 'loss': v} for i, v in enumerate(values)]
    seen = figures(curves)
    curves.draw(records, str(tmp_path / 'a.png'), metrics=['loss'])
    raw, mean = seen[0].axes[0].get_lines()
    assert raw.get_ydata().tolist() == values.tolist()
    # Six points, three of each value.
    np.testing.assert_allclose(mean.get_ydata(), 2.0)
    assert len(mean.get_xdata()) == len(values) - 5
    assert np.mean(mean.get_xdata()) == pytest.approx(np.mean(raw.get_xdata()), abs=0.5)


@pytest.mark.parametrize(
    'records',
    [
        [],
        [{'step': 1, 'split': 'train', 'other': 1.0}],
        [{'step': 1, 'split': 'train', 'loss': float('nan'), 'accuracy': None}],
        [{'step': 1, 'split': 'train', 'loss': float('inf')}, {'step': 2, 'split': 'train', 'loss': 0.0}],
        [{'step': 1, 'split': '$a_b$ 한국', 'loss': 1.0, 'accuracy': 1.0}],
        [{'step': s, 'split': 'train', 'accuracy': 1.0} for s in range(3)],
    ],
    ids=['nothing', 'other', 'nan', 'inf', 'names', 'perfect'],
)
def test_degenerate_records_draw_without_a_warning(tmp_path, records):
    curves.draw(records, str(tmp_path / 'a.png'))
    assert (tmp_path / 'a.png').exists()
