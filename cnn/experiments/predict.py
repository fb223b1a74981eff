"""`--mode=predict`: a person's own images through a trained network: `predictions.json` and a picture for each."""

import pathlib
from typing import Any

import jax
import numpy as np

import input_pipeline
from cnn.experiments import build, initialise
from cnn.experiments.errors import UserError
from cnn.plots import predictions as plots
from cnn.training import log
from cnn.training.parallel import Replicas


def run(config, workdir: pathlib.Path, flags) -> list[dict[str, Any]]:
    """Reads `--images` (files or folders); returns what `predictions.json` holds: path, and top-5 of each image."""
    if not flags.images:
        raise UserError('--mode=predict needs --images=FILE,FOLDER,...')
    info = build.info(config, workdir)
    images = input_pipeline.read_images(flags.images)
    replicas = Replicas(1)
    task = build.task(config, info, replicas)
    variables, _ = initialise.trained(config, workdir, task, build.model(config, info.num_classes))
    transform = build.evaluation_transform(config)
    predict = jax.jit(task.predict)
    names = info.class_names or tuple(str(i) for i in range(info.num_classes))
    folder = workdir / 'predictions'
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (path, image) in enumerate(images):
        batch = {**task.dummy_batch(config.image_size), 'image': build.apply(transform, image)[None]}
        probabilities = np.asarray(predict(variables, batch)['probabilities'][0])
        best = np.argsort(-probabilities, kind='stable')[:5]
        top = [{'class': names[i], 'label': int(i), 'probability': float(probabilities[i])} for i in best]
        picture = folder / f'{number:04d}_{pathlib.Path(path).stem}.png'
        plots.draw(image, probabilities, names, str(picture), title=pathlib.Path(path).name)
        rows.append({'image': str(path), 'top': top, 'picture': str(picture.relative_to(workdir))})
        print(f'{path}: ' + ', '.join(f'{t["class"]} {t["probability"]:.3f}' for t in top))
    log.write_json(workdir / 'predictions.json', rows)
    print(f'{workdir}: predictions.json and {len(rows)} pictures in predictions/')
    return rows
