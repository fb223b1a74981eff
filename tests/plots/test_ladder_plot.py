"""The ladder's picture: every detector has its bars, and its paper's figures are marked beside them."""

import pytest

from cnn.plots import ladder


def rung(name, map_50, network, proposals, passes, paper=(None, None)):
    return {'name': name, 'map_50': map_50, 'network_ms': network, 'proposal_ms': proposals, 'passes': passes,
            'paper_map': paper[0], 'paper_ms': paper[1]}  # fmt: skip


def test_bars_are_what_was_measured_and_papers_are_marked_apart(tmp_path, figures, words):
    seen = figures(ladder)
    rungs = [rung('R-CNN', 0.8, 400.0, 30.0, 2000, (66.0, 47000)), rung('mine', 0.5, 8.0, 0.0, 1)]
    ladder.draw(rungs, str(tmp_path / 'a.png'), title='500 images')
    found, times = seen[0].axes
    assert [bar.get_width() for bar in found.patches] == pytest.approx([80, 50])
    assert [bar.get_width() for bar in times.patches] == [400, 8, 30]
    assert times.get_xscale() == 'log'
    (marked,) = found.get_lines()
    assert marked.get_xydata().tolist() == [[66.0, 0.0]]
    assert {'2,000 passes', '1 pass', 'R-CNN', 'mine', '80.0', '50.0'} <= set(words(seen[0]))
