"""`--mode=predict`: a person's own images through a trained network: `predictions.json` and a picture for each."""

import pathlib
from typing import Any

import input_pipeline
from cnn.experiments import build, detectors, initialise, predict_series
from cnn.experiments.errors import UserError
from cnn.experiments.predict_boxes import Boxes
from cnn.experiments.predict_classes import Classes
from cnn.experiments.predict_masks import Masks
from cnn.training import log
from cnn.training.parallel import Replicas

# By the config's task: what turns an image into a row of `predictions.json`, a picture and a line on the screen.
KINDS = {'classification': Classes, 'detection': Boxes, 'segmentation': Masks}


def run(config, workdir: pathlib.Path, flags) -> list[dict[str, Any]]:
    """Reads `--images` (files or folders); returns what `predictions.json` holds, a row for each image."""
    if config.task == 'forecasting':
        return predict_series.run(config, workdir)
    if not flags.images:
        raise UserError('--mode=predict needs --images=FILE,FOLDER,...')
    if config.task not in KINDS:
        raise UserError(f'--mode=predict is for {", ".join(KINDS)}, not for {config.task}')
    info = build.info(config, workdir)
    images = input_pipeline.read_images(flags.images)
    task = build.task(config, info, Replicas(1))
    module = build.model(config, build.outputs(config, info))
    variables, _ = initialise.trained(config, workdir, task, module)
    if config.task == 'detection':
        own, variables = detectors.truncated(config, variables)
        task = build.task(own, info, Replicas(1))
    predict = KINDS[config.task](config, info, task, module, variables)
    folder = workdir / 'predictions'
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (path, image) in enumerate(images):
        picture = folder / f'{number:04d}_{pathlib.Path(path).stem}.png'
        row, line = predict(image, str(picture), title=pathlib.Path(path).name)
        rows.append({'image': str(path), **row, 'picture': str(picture.relative_to(workdir))})
        print(f'{path}: {line}')
    log.write_json(workdir / 'predictions.json', rows)
    print(f'{workdir}: predictions.json and {len(rows)} pictures in predictions/')
    return rows
