"""What a detector finds in one image: boxes with classes and scores, drawn on the photograph."""

from typing import Any

import jax
import numpy as np

from cnn.experiments import build
from cnn.plots import detection as plots
from cnn.plots import text
from input_pipeline import placement as placements
from input_pipeline.targets import Proposals

# Detections named on the screen.
NAMED = 4


class Boxes:
    """Called with an upright image, uint8 `[H, W, 3]` of any size; compiled once for all of them.

    The image goes onto the config's canvas; boxes come back in the image's own pixels.
    """

    def __init__(self, config, info, task, module, variables):
        self._variables, self._transform = variables, build.evaluation_transform(config)
        self._names = text.without_wordnet(info.class_names) or tuple(str(i) for i in range(info.num_classes))
        height, width = placements.sides(self._transform.image_size)
        self._blank = {**task.dummy_batch(1), 'image': np.zeros((1, height, width, 3), np.uint8)}
        # Detections below this score are in `predictions.json`, but not in the picture.
        self._least = task.drawn_score
        # Of detectors that are given their regions: what finds them in an image that is in no data set.
        self._finder, self._info = build.finder(config), info
        self._proposals = Proposals(config.input.max_proposals) if self._finder else None
        self._predict = jax.jit(task.predict)

    def detections(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes float `[n, 4]` in pixels of the image, scores `[n]` from the highest down, and labels `[n]`."""
        pixels = np.empty_like(self._blank['image'][0])
        placement = self._transform(image, None, pixels)
        batch = {**self._blank, 'image': pixels[None], 'placement': np.float32([placement])}
        if self._finder:
            batch |= self._proposals.allocate(1, pixels.shape[:2])
            (own,) = self._finder.find([image])
            self._proposals.fill(batch, 0, {'proposals': own}, placement, pixels.shape[:2], self._info)
        found = {name: np.asarray(value[0]) for name, value in self._predict(self._variables, batch).items()}
        real = found['labels'] >= 0
        return placements.boxes_to_source(found['boxes'][real], placement), found['scores'][real], found['labels'][real]

    def __call__(self, image: np.ndarray, picture: str, *, title: str) -> tuple[dict[str, Any], str]:
        """Writes the picture; returns the image's row of `predictions.json`, and a line for the screen.

        The row has `detections`, highest score first: `class`, `label`, `score`, and `box`, x0, y0, x1, y1 in pixels of
        the upright image.
        """
        boxes, scores, labels = self.detections(image)
        plots.draw(image, boxes, scores, labels, self._names, picture, title=title, least=self._least)
        found = [
            {
                'class': self._names[label],
                'label': int(label),
                'score': round(float(score), 6),
                'box': [round(float(value), 2) for value in box],
            }
            for box, score, label in zip(boxes, scores, labels, strict=True)
        ]
        said = [f'{one["class"]} {one["score"]:.2f}' for one in found if one['score'] >= self._least]
        more = f' and {len(said) - NAMED} more' if len(said) > NAMED else ''
        return {'detections': found}, (', '.join(said[:NAMED]) + more) or f'nothing scores {self._least:g} or more'
