"""The page as text: what it says, and that nothing in it can load or run anything."""

import datetime
import html.parser
import json

from cnn.report import page, workdir
from tests.report import made

NOW = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)


class Outline(html.parser.HTMLParser):
    """Tags with their attributes, and the text beside them."""

    def __init__(self, content: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ''
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def outline(*folders) -> Outline:
    return Outline(page.render([workdir.read(folder) for folder in folders], now=NOW))


def test_a_run_is_told_whole(tmp_path):
    made.write(tmp_path, 'bad_examples.json', [{'index': 3, 'id': 'cats/3.jpg', 'reason': 'truncated'}])
    found = outline(made.training(tmp_path, bad_examples=1, faulty_boxes={'inverted': 2}))
    for said in ('97.50 %', '0.0750', '812 images/s', '76.2 s', '1 examples could not be read', 'cats/3.jpg',
                 'truncated', '2 inverted', 'optimizer.learning_rate', 'jax 0.10.2', 'a' * 40, 'resnet, depth=8',
                 '10 classes', 'written 2026-01-02 03:04 UTC'):  # fmt: skip
        assert said in found.text, said
    assert sum(tag == 'polyline' for tag, _ in found.tags) == 4, 'loss twice, accuracy and the learning rate'


def test_folds_are_told_with_corrected_intervals_and_the_ledger_is_checked_again(tmp_path):
    found = outline(made.cross_validation(tmp_path / 'cv', [0.91, 0.93, 0.92, 0.95]))
    # Nadeau and Bengio: 0.9275 +- t(3) sqrt((1/4 + 10/30) var), var = 2.9167e-4, half width 4.151 points.
    assert '92.75 %' in found.text
    assert '88.60 to 96.90 %' in found.text
    assert 'Nadeau-Bengio corrected t, 3 degrees of freedom' in found.text
    assert '30 / 10' in found.text
    assert 'Checked again for this page, from ledger.json: Checked 4 folds' in found.text


def test_a_ledger_that_says_otherwise_is_believed(tmp_path):
    folder = made.cross_validation(tmp_path, [0.5, 0.6])
    ledger = json.loads((folder / 'ledger.json').read_text())
    fit = next(r for r in ledger['records'] if r['role'] == 'fit')
    test = next(r for r in ledger['records'] if r['role'] == 'test' and r['fold'] == fit['fold'])
    fit['set'] = test['set']
    made.write(folder, 'ledger.json', ledger)
    assert 'ledger.json does not bear it out: ' in outline(folder).text


def test_nothing_is_loaded_from_anywhere_and_nothing_runs(tmp_path):
    one = made.training(tmp_path / 'one')
    two = made.training(tmp_path / 'two', config=made.CONFIG | {'seed': 1})
    found = outline(one, two)
    pictures = 0
    for tag, attributes in found.tags:
        assert tag not in ('script', 'link', 'iframe', 'object', 'embed', 'base'), tag
        for name, value in attributes.items():
            assert not name.startswith('on'), (tag, name)
            if name in ('src', 'href', 'data', 'action', 'poster', 'srcset'):
                assert value.startswith(('data:image/png;base64,', '#')), (tag, name, value[:40])
                pictures += value.startswith('data:')
    assert pictures == 2
    policy = next(a['content'] for t, a in found.tags if t == 'meta' and 'http-equiv' in a)
    assert policy.startswith("default-src 'none';")
    assert 'seed' in found.text


def test_a_file_of_another_shape_costs_its_section_alone(tmp_path):
    folder = made.training(tmp_path, metrics=[1, 2])
    made.write(folder, 'predictions.json', [{'top': 3}])
    found = outline(folder)
    assert 'The headline cannot be shown: a file is not as this version writes it (' in found.text
    assert 'The prediction cannot be shown' in found.text
    assert sum(tag == 'polyline' for tag, _ in found.tags) == 4


def test_pictures_stop_where_the_page_would_be_too_large(tmp_path, monkeypatch):
    folder = made.training(tmp_path)
    (folder / 'another.png').write_bytes(made.png())
    (folder / 'torn.png').write_bytes(b'no picture')
    monkeypatch.setattr(page, 'PICTURE_BYTES', len(made.png()))
    found = outline(folder)
    assert [a['alt'] for t, a in found.tags if t == 'img'] == ['another.png']
    assert '2 pictures are left out' in found.text


def test_a_sweep_and_a_study_are_told(tmp_path):
    trials = [
        {'number': n, 'state': state, 'value': value, 'values': {'optimizer.learning_rate': rate}, 'seconds': 4.0}
        for n, state, value, rate in ((0, 'complete', 0.91, 0.1), (1, 'complete', 0.95, 0.03), (2, 'failed', None, 9.0))
    ]
    trials[2]['error'] = 'the loss is not finite'
    made.write(tmp_path / 's', 'sweep.json', {
        'metric': 'accuracy', 'direction': 'maximize', 'sampler': 'tpe', 'pruner': 'none', 'objective': 'holdout',
        'counts': {'complete': 2, 'failed': 1, 'running': 0}, 'best': trials[1], 'trials': trials,
        'config': made.CONFIG, 'importance': {'optimizer.learning_rate': 1.0}, 'importance_note': 'few',
        'warning': 'the value is optimistic', 'leakage': 'Checked: nobody.',
    })  # fmt: skip
    found = outline(tmp_path / 's')
    assert found.text.index('95.00 %') < found.text.index('91.00 %'), 'the best first'
    for said in ('0.03', '2 complete, 1 failed', 'the value is optimistic', 'the loss is not finite', '100 %',
                 'Checked: nobody.', 'The sweep has not ended'):  # fmt: skip
        assert said in found.text, said

    arm = {'name': 'plain_20', 'mean': {'accuracy': 0.9}, 'std': {'accuracy': 0.01}, 'n': {'accuracy': 3},
           'parameters': 1234, 'diverged': {}}  # fmt: skip
    finding = {'measured': 'loss, a - b', 'mean': 0.5, 'low': 0.25, 'high': 0.75, 'n': 3, 'status': 'supported'}
    claim, status = {'en': 'Deep is worse', 'ko': '깊으면 나쁘다'}, {'en': 'supported', 'ko': '뒷받침된다'}
    verdict = {'claim': claim, 'status': status, 'source': 'He 2015', 'why': '', 'findings': [finding]}
    study = {'study': 'degradation', 'dataset': 'mnist_5k', 'tested': 1000, 'arms': [arm], 'verdicts': [verdict]}
    made.write(tmp_path / 't', 'study.json', study | {'config': made.CONFIG})
    found = outline(tmp_path / 't')
    for said in ('plain_20', '90.00 % ± 1.00', '1,234', 'Deep is worse: supported.', '깊으면 나쁘다: 뒷받침된다.',
                 '0.25 to 0.75'):  # fmt: skip
        assert said in found.text, said
