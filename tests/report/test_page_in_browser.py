"""Pages in headless Chromium: hostile names arrive as text, nothing runs, nothing leaves, and a phone can read it."""

import json

import numpy as np
import pytest
from PIL import Image

from cnn.report import page, workdir
from tests.report import made

HOSTILE = [
    '<script>document.title="taken"</script>',
    '"><img src=x onerror=document.title="taken">',
    "'; alert(1); //",
    '</style><style>body{display:none}</style>',
    '{{ 7 * 7 }}{% raw %}',
    'https://example.com/a.png',
    '강아지 & <b>고양이</b>',
]


@pytest.fixture(scope='module')
def hostile(tmp_path_factory):
    """A page of two runs in which everything that has a name has a bad one."""
    folder = tmp_path_factory.mktemp('pages')
    model = {'name': HOSTILE[6], 'x': HOSTILE[4]}
    config = made.CONFIG | {'dataset': HOSTILE[0], HOSTILE[1]: HOSTILE[2], 'model': model}
    runs = [folder / '<img src=x onerror=alert(1)>', folder / '강아지']
    for number, run in enumerate(runs):
        made.training(run, config=config | {'seed': number}, commit=HOSTILE[3], bad_examples=7)
        made.write(run, 'dataset.json', {'class_names': HOSTILE})
        bad = [{'id': name, 'reason': name} for name in HOSTILE]
        made.write(run, 'bad_examples.json', bad)
        top = [{'class': name, 'label': 0, 'probability': 0.5} for name in HOSTILE]
        made.write(run, 'predictions.json', [{'image': HOSTILE[5], 'top': top}])
        with open(run / 'metrics.jsonl', 'a') as file:
            line = {'step': 40, 'split': '</svg><script>document.title=1</script>', 'loss': 1.0, '<i>x</i>': 2.0}
            file.write(json.dumps(line) + '\n' + json.dumps(line | {'step': 41}) + '\n')
    third = made.cross_validation(folder / 'c', [0.5, 0.6], ids=[f'{HOSTILE[i % 7]}{i}' for i in range(40)])
    read = [workdir.read(run) for run in (*runs, third)]
    (folder / 'page.html').write_text(page.render(read), encoding='utf-8')
    return folder / 'page.html'


def test_names_arrive_as_text_and_nothing_runs_or_leaves(browser, hostile):
    browser.open(hostile)
    text = browser.evaluate('document.body.textContent')
    for name in [*HOSTILE, '<img src=x onerror=alert(1)>', '</svg><script>document.title=1</script>', '<i>x</i>']:
        assert name in text, name
    assert '49' not in browser.evaluate('document.querySelector("main").textContent').split()
    assert browser.evaluate('document.title') == '3 runs'
    assert browser.evaluate('document.scripts.length') == 0
    assert browser.evaluate('document.querySelectorAll("i, b, iframe, link, object").length') == 0
    assert browser.evaluate('[...document.images].every(i => i.src.startsWith("data:") && i.naturalWidth == 600)')
    assert browser.evaluate('document.styleSheets.length') == 1
    assert browser.evaluate('getComputedStyle(document.body).display') == 'block'
    asked = {url.split(':')[0] for url in browser.requests}
    assert asked == {'file', 'data'}
    assert sum(url.startswith('file:') for url in browser.requests) == 1
    assert browser.messages == []


@pytest.mark.parametrize('width', [400, 1200])
def test_no_page_is_wider_than_its_window(browser, hostile, width):
    browser.open(hostile, width=width)
    # With everything that can be opened open.
    browser.evaluate('document.querySelectorAll("details").forEach(d => d.open = true)')
    assert browser.evaluate('document.documentElement.scrollWidth') == width
    wide = browser.evaluate(
        '[...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll, svg") && '
        f'e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))'
    )
    assert wide == []
    # Text that is meant to be read is not smaller than a phone shows well.
    assert browser.evaluate('parseFloat(getComputedStyle(document.querySelector("main p.quiet")).fontSize)') >= 14


def test_it_has_a_light_and_a_dark_side_and_draws_its_curves(browser, hostile, tmp_path):
    shots = {}
    for dark in (False, True):
        browser.open(hostile, dark=dark)
        browser.screenshot(tmp_path / f'{dark}.png')
        shots[dark] = np.asarray(Image.open(tmp_path / f'{dark}.png').convert('L'), float)
    # Most of a page is its background.
    assert np.median(shots[False]) > 230
    assert np.median(shots[True]) < 50
    box = browser.evaluate('document.querySelector("polyline").getBoundingClientRect().toJSON()')
    assert box['width'] > 100
    assert box['height'] > 20


def test_contrast_of_text_is_enough_on_both_sides(browser, hostile):
    """WCAG 2.1's ratio, 4.5 for small text, between each colour of words and what it stands on."""

    def luminance(color):
        parts = np.array([float(p) for p in color[4:-1].split(',')[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for dark in (False, True):
        browser.open(hostile, dark=dark)
        pairs = browser.evaluate(
            '["p.quiet", "p.warning", "p.good", "td", "th", "a", "summary", "dt"].map(s => document.querySelector(s))'
            '.filter(e => e).map(e => { let b = e; while (getComputedStyle(b).backgroundColor == "rgba(0, 0, 0, 0)") '
            'b = b.parentElement; return [e.className || e.tagName, getComputedStyle(e).color, '
            'getComputedStyle(b).backgroundColor]; })'
        )
        assert len(pairs) >= 7
        for name, ink, paper in pairs:
            low, high = sorted((luminance(ink), luminance(paper)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, dark, ink, paper)
