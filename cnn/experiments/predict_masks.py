"""What a segmentation network sees in one image: a class for each pixel, as a picture and as a mask."""

import pathlib
from typing import Any

import jax
import numpy as np

from cnn.experiments import build
from cnn.plots import segmentation as plots
from cnn.plots import text
from cnn.tasks.segmentation import IGNORED
from input_pipeline import placement as placements

# Classes named on the screen.
NAMED = 4


class Masks:
    """Called with an upright image, uint8 `[H, W, 3]` of any size; compiled once for all of them.

    The image goes onto the config's canvas; the mask comes back at the image's own size, by the nearest pixel.
    """

    def __init__(self, config, info, task, module, variables):
        self._variables, self._transform = variables, build.evaluation_transform(config)
        self._names = text.without_wordnet(info.mask_names)
        height, width = placements.sides(self._transform.image_size)
        self._blank = {**task.dummy_batch(1), 'image': np.zeros((1, height, width, 3), np.uint8)}
        del self._blank['segmentation']
        self._predict = jax.jit(lambda v, batch: task.predict(v, batch)['segmentation'][0])

    def mask(self, image: np.ndarray) -> np.ndarray:
        """uint8 `[H, W]`: the class of each pixel of the image; 255 where the canvas has cut the image off."""
        pixels = np.empty_like(self._blank['image'][0])
        placement = self._transform(image, None, pixels)
        found = self._predict(self._variables, {**self._blank, 'image': pixels[None]})
        return placements.mask_to_source(np.asarray(found), placement, IGNORED)

    def __call__(self, image: np.ndarray, picture: str, *, title: str) -> tuple[dict[str, Any], str]:
        """Writes the picture and, beside it, the mask; returns the image's row of `predictions.json` and a line.

        The row has `mask` (a PNG whose values are the classes' numbers) and `classes`: each one seen, its number, and
        its share of the image's pixels, most first.
        """
        mask = self.mask(image)
        plots.draw(image, mask, self._names, picture, title=title)
        file = pathlib.Path(picture).with_name(f'{pathlib.Path(picture).stem}_mask.png')
        plots.index_png(mask, self._names, str(file))
        counts = np.bincount(mask.ravel(), minlength=256)[: len(self._names)]
        order = [int(c) for c in np.argsort(-counts, kind='stable') if counts[c]]
        seen = [{'class': self._names[c], 'label': c, 'share': round(float(counts[c] / mask.size), 6)} for c in order]
        line = ', '.join(f'{entry["class"]} {text.percent(entry["share"])}' for entry in seen[:NAMED])
        return {'mask': f'{file.parent.name}/{file.name}', 'classes': seen}, line
