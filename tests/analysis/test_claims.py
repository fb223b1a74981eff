"""The claims of the notes: verdicts against the hand-made table of REFERENCES, numbers against their sources."""

import json
import re

import pytest

from cnn.analysis import claims, notes

# id -> verdict, and figures that the measurement must hold (REFERENCES, section 1).
EXPECTED = {
    'conv-parameters': ('true', [73_728]),
    'alexnet-conv1': ('true', [34_848, 34_944]),
    'alexnet-conv2': ('true', [307_200, 307_456]),
    'alexnet-dense': ('false', [37_748_736]),
    'dense-dominates': ('true', [58_631_144, 60_965_224, '96.2%']),
    'alexnet-size': ('true', [60_965_224, 8]),
    'vgg-size': ('false', [143_667_240]),
    'googlenet-size': ('false', [6_998_552, 13_378_280, 5_973_552]),
    'googlenet-fewest': ('true', [6_998_552]),
    'stacked-3x3': ('rounded', [409_600, 294_912, [5, 5]]),
    'bottleneck-1x1': ('false', [147_456, 40_960]),
    'kernels-over-7': ('true', [11, 7]),
    'densenet-growth': ('false', [[32]]),
    'densenet-transition': ('true', []),
    'ilsvrc-size': ('false', []),
    'degradation': (None, []),
    'dense-as-conv': ('true', [2_560]),
    'rpn-anchors': ('true', [9, 18, 36, 2_387_510]),
    'deconvolution': ('true', []),
    'separable-kernels': ('true', [1, 2]),
    'k-fold-hyperparameters': ('false', []),
    'detach-copy': ('true', [[0.0, 1.0, 2.0]]),
    'batch-norm-rate': (None, []),
}
STUDIES = {'degradation', 'batch-norm-rate'}
SOURCED = {'ilsvrc-size', 'k-fold-hyperparameters'}


@pytest.fixture(scope='module')
def results():
    return {row['id']: row for row in claims.recompute()}


def test_every_claim_of_the_table_is_there_once(results):
    assert set(results) == set(EXPECTED)
    assert len(notes.CLAIMS) == len(EXPECTED)


@pytest.mark.parametrize('id', EXPECTED)
def test_verdicts(results, id):
    row, (verdict, figures) = results[id], EXPECTED[id]
    assert row['verdict'] == verdict
    assert row['status'] == ('study' if id in STUDIES else 'source' if id in SOURCED else 'measured')
    assert bool(row['measured']) == (row['status'] == 'measured')
    for figure in figures:
        assert figure in row['measured'].values(), figure
    assert row['source']
    for text in (row['claim'], row['why']):
        assert re.search('[가-힣]', text['ko'])
        assert not re.search('[가-힣{}]', text['en'])


def test_figures_are_judged_by_their_distance():
    assert [notes.judge(said, 100) for said in (100, 102, 98, 103, 91, 111, 89)] == ['true'] * 3 + ['rounded'] * 2 + [
        'false'
    ] * 2


def test_measuring_reads_the_networks(monkeypatch):
    """Another network gives other figures and another verdict: nothing is written down."""
    from cnn.analysis import notes_networks

    original = notes_networks.models.create

    def smaller(name, **sizes):
        return original(name, **sizes | ({'width': 0.5} if name == 'alexnet' else {}))

    monkeypatch.setattr(notes_networks.models, 'create', smaller)
    monkeypatch.setattr(notes_networks, 'network', notes_networks.network.__wrapped__)
    (row,) = claims.recompute(['alexnet-size'])
    assert row['verdict'] == 'false'
    assert row['measured']['parameters'] < 30_000_000


def test_command_prints_a_table_and_writes_json(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(claims, 'recompute', lambda: list(results.values()))
    output = tmp_path / 'claims.json'
    assert claims.main([f'--output={output}']) == 0
    assert json.loads(output.read_text(encoding='utf-8')) == list(results.values())
    printed = capsys.readouterr().out
    assert 'rounded' in printed
    assert '143,667,240' in printed
    assert claims.main([f'--output={output}', '--korean']) == 0
    assert '거짓' in capsys.readouterr().out


def test_command_names_a_missing_folder(tmp_path, capsys):
    assert claims.main([f'--output={tmp_path}/none/claims.json']) == 2
    assert 'create it first' in capsys.readouterr().err


def test_unknown_claims_are_named():
    with pytest.raises(ValueError, match='alexnet-conv1'):
        claims.recompute(['alexnet-conv'])
