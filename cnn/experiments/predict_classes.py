"""What a classifier says of one image: the five best classes, and where in the image the evidence for the best lies."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn.analysis import grad_cam
from cnn.experiments import build
from cnn.ops import augment
from cnn.plots import predictions as plots
from cnn.plots import text

TOP = 5


class Classes:
    """Called with an upright image, uint8 `[H, W, 3]` of any size; compiled once for all of them.

    Args:
      info: gives the outputs their names.
      module: the task's network, outside any mapped axis.
      variables: trained.
    """

    def __init__(self, config, info, task, module, variables):
        self._variables = variables
        self._names = info.class_names or tuple(str(i) for i in range(info.num_classes))
        self._transform = build.evaluation_transform(config)
        side = self._transform.image_size
        # The central view stands for ten crops; of dense evaluation's sides the largest for all.
        self._side = config.image_size if config.evaluation.views == 'ten_crop' else side
        self._corner = (side - self._side) // 2
        shape = (self._side, self._side, 3)
        self.endpoint = grad_cam.endpoint_of(module, variables, jnp.zeros((1, *shape), task.dtype))
        self._grid = grad_cam.grid(module, self.endpoint, shape)
        part = slice(self._corner, self._corner + self._side)
        blank = task.dummy_batch(side)

        def explain(variables, image):
            probabilities = task.predict(variables, {**blank, 'image': image[None]})['probabilities'][0]
            seen = augment.normalize(image[None, part, part], task.mean, task.std, dtype=task.dtype)
            best = jnp.argmax(probabilities)[None]
            return probabilities, grad_cam.grad_cam(module, variables, seen, best, endpoint=self.endpoint)[0]

        self._explain = jax.jit(explain)

    def __call__(self, image: np.ndarray, picture: str, *, title: str) -> tuple[dict[str, Any], str]:
        """Writes the picture; returns the image's row of `predictions.json`, and a line for the screen.

        The row has `top` (class, label and probability of each) and `heat_map`: the `class` it is of, the `endpoint` it
        was read from, and in pixels of the upright image `seen` (x0, y0, x1, y1: the part that the network looked at)
        and `peak` (x, y: the centre of the cell that spoke most for the class; null where none did).
        """
        pixels = np.empty((self._transform.image_size,) * 2 + (3,), np.uint8)
        placement = self._transform(image, None, pixels)
        probabilities, heat = map(np.asarray, self._explain(self._variables, pixels))
        best = np.argsort(-probabilities, kind='stable')[:TOP]
        top = [{'class': self._names[i], 'label': int(i), 'probability': float(probabilities[i])} for i in best]
        seen, peak = self._in_source(placement, heat)
        plots.draw(
            image,
            probabilities,
            text.without_wordnet(self._names),
            picture,
            title=title,
            top=TOP,
            evidence=plots.Evidence(grad_cam.spread(heat, self._grid, self._side, self._side), seen, peak),
        )
        where = {'class': top[0]['class'], 'endpoint': self.endpoint, 'seen': seen, 'peak': peak}
        return {'top': top, 'heat_map': where}, ', '.join(f'{t["class"]} {t["probability"]:.3f}' for t in top)

    def _in_source(self, placement, heat) -> tuple[list[float], list[float] | None]:
        """What the network saw and where the map is hottest, from its pixels to those of the upright image."""

        def back(x: float, y: float) -> list[float]:
            across = (x + self._corner - placement.x_offset) / placement.x_scale
            down = (y + self._corner - placement.y_offset) / placement.y_scale
            return [round(float(np.clip(across, 0, placement.width)), 2),
                    round(float(np.clip(down, 0, placement.height)), 2)]  # fmt: skip

        seen = back(0, 0) + back(self._side, self._side)
        if not heat.max() > 0:
            return seen, None
        cell = np.unravel_index(heat.argmax(), heat.shape)
        # Pixel i covers i to i + 1, so its centre, from which the grid counts, lies at i + 1/2.
        y, x = (np.clip(offset + stride * i + 0.5, 0, self._side)
                for i, (offset, stride) in zip(cell, self._grid, strict=True))  # fmt: skip
        return seen, back(x, y)
