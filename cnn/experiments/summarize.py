"""`--mode=summarize`: layers, shapes, parameters and costs of the config's network, on the screen and as JSON."""

import pathlib

from cnn.analysis import summary
from cnn.experiments import build
from cnn.training import log


def run(config, workdir: pathlib.Path, _flags=None) -> None:
    """Prints the table and writes `summary.json`; reads no data where the catalogue knows the classes."""
    module = build.model(config, build.num_classes(config))
    if config.task == 'forecasting':
        result = summary.summarize(module, (1, config.image_size, 1), spatial_axes=1)
    else:
        result = summary.summarize(module, (1, config.image_size, config.image_size, 3))
    print(result.table())
    workdir.mkdir(parents=True, exist_ok=True)
    log.write_json(workdir / 'summary.json', result.to_json())
    print(f'{workdir}: summary.json')
