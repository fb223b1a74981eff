"""The page of the studies: every study has its words, and the page is made of what stands."""

import json

import numpy as np
from PIL import Image

from benchmarks import run_all, studies, tables

VERDICT = {'claim': {'en': 'Deeper is worse', 'ko': '깊을수록 나쁘다'},
           'status': {'en': 'supported', 'ko': '뒷받침된다'}}  # fmt: skip


def test_every_study_has_its_words_and_none_is_of_nobody():
    said = run_all.remarks(studies.REMARKS.read_text())
    files = {path.stem for path in (tables.ROOT / 'configs' / 'studies').glob('*.py')} - {'__init__', 'section'}
    assert {name for name in said if name} == files
    for name in files:
        title, text, paper = said[name].removeprefix('### ').split('\n\n', 2)
        assert title
        assert text
        assert paper.startswith("**Paper's size**: ")


def test_the_page_has_verdicts_tables_and_pictures_and_names_what_is_missing(tmp_path):
    workdir = tmp_path / 'runs' / 'depth'
    workdir.mkdir(parents=True)
    (workdir / 'study.json').write_text(json.dumps({'verdicts': [VERDICT]}))
    (workdir / 'study.md').write_text('| a table |\n')
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    for name in ('study', 'drift'):
        Image.fromarray(noise).save(workdir / f'{name}.png')
    said = {'': 'Above all.', 'depth': '### Depth, or not\n\nWhat is compared.\n\n**Paper\'s size**: large.',
            'width': '### Width\n\nNever run.\n\n**Paper\'s size**: wide.'}  # fmt: skip
    page = studies.page(said, tmp_path / 'runs', tmp_path / 'docs')
    assert page == '\n\n'.join([
        '# The claims of the notes, as experiments', 'Above all.', 'Not run to their end: width.',
        '| study | claim | 주장 | verdict, small size |\n| --- | --- | --- | --- |\n'
        '| [Depth, or not](#depth-or-not) | Deeper is worse | 깊을수록 나쁘다 | supported |',
        '## Depth, or not', 'What is compared.',
        '```sh\npython main.py --mode=study --config=configs/studies/depth.py\n```',
        '![Depth, or not](images/studies/depth.png)', '![Depth, or not: drift](images/studies/depth_drift.png)',
        '| a table |', "**Paper's size**: large.",
    ]) + '\n'  # fmt: skip
    for name in ('depth', 'depth_drift'):
        with Image.open(tmp_path / 'docs' / 'images' / 'studies' / f'{name}.png') as picture:
            assert picture.size == (400, 300)
            assert len(picture.getcolors()) <= 64


def test_of_a_study_that_does_not_stand_the_page_keeps_what_it_has(tmp_path):
    workdir, docs = tmp_path / 'runs' / 'depth', tmp_path / 'docs'
    workdir.mkdir(parents=True)
    (workdir / 'study.json').write_text(json.dumps({'verdicts': [VERDICT]}))
    (workdir / 'study.md').write_text('| a table |\n')
    said = {'': 'Above all.', 'depth': '### Depth\n\nCompared.\n\n**Paper\'s size**: large.',
            'width': '### Width\n\nCompared too.\n\n**Paper\'s size**: wide.'}  # fmt: skip
    first = studies.page(said, tmp_path / 'runs', docs)
    (docs / 'studies.md').write_text(first)
    # Depth is gone; width is new.
    other = tmp_path / 'other' / 'width'
    other.mkdir(parents=True)
    (other / 'study.json').write_text(json.dumps({'verdicts': [{**VERDICT, 'claim': {'en': 'Wider', 'ko': '넓게'}}]}))
    (other / 'study.md').write_text('| another table |\n')
    second = studies.page(said, tmp_path / 'other', docs)
    assert 'Not run to their end: width.' in first
    assert 'Not run' not in second
    old, new = '| [Depth](#depth) | Deeper is worse |', '| [Width](#width) | Wider | 넓게 | supported |'
    assert second.index(old) < second.index(new) < second.index('## Depth') < second.index('## Width')
    assert first[first.index('## Depth') :].strip() in second
    # Nothing anew: the page as it stands.
    (docs / 'studies.md').write_text(second)
    assert studies.page(said, tmp_path / 'nothing', docs) == second
