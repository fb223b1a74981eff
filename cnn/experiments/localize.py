"""`--mode=localize`: objects found by a classifier alone, scored against a data set's boxes.

The classifier is made a heat map (cnn/analysis/convolutionalize.py) and run over whole images; where the class's score
stands out from the other classes' mean, the object is taken to be (cnn/analysis/localize.py). It never saw a box.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn.analysis import convolutionalize, grad_cam, localize
from cnn.experiments import build, initialise
from cnn.experiments.errors import UserError
from cnn.ops import augment
from cnn.plots import heat_map as plots
from cnn.plots import text
from cnn.training import log
from cnn.training.parallel import Replicas
from input_pipeline import canvas, decode, placement, targets
from input_pipeline.loader import TooManyBadExamples
from input_pipeline.source import UnreadableError

# The whole image on a canvas of so many times the side that the network was trained for.
CANVAS = 1.5
PICTURES = 12


class Finder:
    """Called with an upright image and class numbers; compiled once for all images.

    Attributes:
      stride: pixels of the canvas between neighbouring cells.
    """

    def __init__(self, config, task, module, variables):
        self._side = round(CANVAS * config.image_size / 32) * 32
        self._canvas = canvas.Letterbox(self._side, fill=build.mean_pixel(config))
        # Cells that speak for themselves where the last map is averaged: finer than windows of the native size.
        heat_map, self._variables = convolutionalize.convolutionalize(
            module, variables, image_size=config.image_size, window=1
        )
        shape = (self._side, self._side, 3)
        self._grid = grad_cam.grid(heat_map, 'scores', shape)
        self.stride = self._grid[0][1]

        def run(variables, pixels):
            images = augment.normalize(pixels[None], task.mean, task.std, dtype=task.dtype)
            scores = heat_map.apply(variables, images)[0][0].astype(jnp.float32)
            # Logits are known up to a constant in each place: what counts is how far a class stands out.
            return scores - scores.mean(-1, keepdims=True)

        self._run = jax.jit(run)

    def maps(self, image: np.ndarray) -> tuple[np.ndarray, placement.Placement]:
        """How far each class stands out over the image, float32 `[H', W', C]` on the canvas, and where that lies."""
        pixels = np.empty((self._side, self._side, 3), np.uint8)
        place = self._canvas(image, None, pixels)
        heat = np.moveaxis(np.asarray(self._run(self._variables, pixels)), -1, 0)
        spread = np.moveaxis(grad_cam.spread(heat, self._grid, self._side, self._side), 0, -1)
        return spread[: round(place.height * place.y_scale), : round(place.width * place.x_scale)], place


def to_source(found: localize.Found, place: placement.Placement) -> localize.Found:
    """What was found on the canvas, in pixels of the upright image."""
    if found.box is None:
        return found
    points = np.array([[*found.box], [*found.peak, *found.peak]])
    box, peak = placement.boxes_to_source(points, place)
    return localize.Found(tuple(peak[:2].tolist()), tuple(box.tolist()))


def run(config, workdir: pathlib.Path, _flags=None) -> dict[str, Any]:
    """Writes `localization.json` and pictures of the first images into the workdir; returns the JSON's content."""
    if config.task != 'classification':
        raise UserError(f'--mode=localize is for classification, not for {config.task}')
    source = build.source(config, build.evaluation_split(config))
    source.info.require('boxes')
    source.info.require('labels')
    info = build.scored_info(config, workdir, source)
    task = build.task(config, info, Replicas(1))
    module = build.model(config, build.outputs(config, info))
    variables, steps = initialise.trained(config, workdir, task, module)
    finder = Finder(config, task, module, variables)
    names = text.without_wordnet(info.class_names)
    folder = workdir / 'localization'
    folder.mkdir(parents=True, exist_ok=True)
    rows, truths, bad = [], [], []
    for index in range(len(source)):
        try:
            row, truth, drawn = _one(finder, source, index, names)
        except UnreadableError as error:
            bad.append(f'{source.example_id(index)} ({error})')
            if len(bad) > config.input.max_bad_fraction * len(source):
                raise TooManyBadExamples(
                    f'{source.info.name}: {len(bad)} of the first {index + 1} images cannot be read, more than '
                    f'input.max_bad_fraction of {len(source)} allows: {"; ".join(bad[:3])}'
                ) from error
            continue
        rows.append(row)
        truths.append(truth)
        if index < PICTURES:
            drawn(str(folder / f'{index:04d}.png'))
    result = {
        'images': sum(len(truth) > 0 for truth in truths),
        'bad_examples': len(bad),
        'stride': finder.stride,
        **{f'{which}_{name}': value
           for which in ('true', 'predicted', 'centre')
           for name, value in localize.scores([row[which] for row in rows], truths).items()},
        'accuracy': float(np.mean([row['label'] == row['guess'] for row in rows])),
        'steps': steps,
    }  # fmt: skip
    log.write_json(workdir / 'localization.json', result)
    said_of = {'true': 'of the true class', 'predicted': 'of its own guess', 'centre': 'without looking'}
    for which, said in said_of.items():
        print(f'{said}: pointing {result[f"{which}_pointing"]:.3f}  corloc {result[f"{which}_corloc"]:.3f}  '
              f'mean overlap {result[f"{which}_mean_overlap"]:.3f}')  # fmt: skip
    if bad:
        print(f'{len(bad)} images could not be read and are not scored: {"; ".join(bad[:3])}')
    print(f'{workdir}: localization.json, {len(rows)} images, and pictures in localization/')
    return result


def _one(finder: Finder, source, index: int, names):
    """What is found in one image for its true class, its guess, and without looking; its boxes; what draws it."""
    example = source.read(index)
    image = decode.decode(example['image'])
    height, width = image.shape[:2]
    boxes, right, _ = targets.checked(example['boxes'])
    truth = boxes[right] * np.array([width, height] * 2)
    maps, place = finder.maps(image)
    label, guess = int(example['label']), int(maps.mean((0, 1)).argmax())
    found = {c: to_source(localize.find(maps[..., c]), place) for c in {label, guess}}
    row = {'label': label, 'guess': guess, 'true': found[label], 'predicted': found[guess],
           'centre': localize.of_centre(height, width)}  # fmt: skip

    def draw(path: str) -> None:
        shown = [(label, 'true class')] if guess == label else [(label, 'true class'), (guess, 'its guess')]
        layers = [plots.ClassMap(names[c], np.maximum(maps[..., c], 0), found[c].box, note) for c, note in shown]
        plots.draw(image, layers, path, title=source.example_id(index), truth=truth)

    return row, truth, draw
