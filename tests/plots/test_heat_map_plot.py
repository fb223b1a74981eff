"""Heat maps over photographs: the peak, the boxes and the words where they belong."""

import numpy as np
from matplotlib.patches import Rectangle

from cnn.plots import heat_map


def boxes(axes):
    return {(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in axes.findobj(Rectangle) if p in axes.patches}


def test_peak_boxes_and_words(tmp_path, figures, words):
    seen = figures(heat_map)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    heat = np.zeros((4, 6), np.float32)
    heat[1, 4] = 2
    maps = [heat_map.ClassMap('beagle', heat, (30, 5, 50, 25), '91 %'), heat_map.ClassMap('pug', np.zeros((40, 60)))]
    heat_map.draw(image, maps, str(tmp_path / 'a.png'), title='dog.jpg', truth=[[28, 4, 52, 30]])
    photograph, first, second = seen[0].axes
    assert boxes(photograph) == {(28, 4, 24, 26)}
    assert boxes(first) == {(28, 4, 24, 26), (30, 5, 20, 20)}
    assert boxes(second) == {(28, 4, 24, 26)}
    # Cell (1, 4) of 4 x 6 over 40 x 60 pixels: its centre is 45, 15.
    np.testing.assert_allclose(np.ravel(first.lines[0].get_data()), [45, 15])
    assert {'dog.jpg', 'beagle, 91 %', 'pug'} <= set(words(seen[0]))
    heat_map.draw(image, maps[1:], str(tmp_path / 'b.png'))
    assert not any('annotated' in word for word in words(seen[1]))
