"""`--mode=predict` of series: what follows each subject's last value, in `predictions.json` and `predictions.csv`."""

import csv
import io
import pathlib
from typing import Any

import jax
import numpy as np

from cnn.experiments import build, initialise
from cnn.training import log


def run(config, workdir: pathlib.Path) -> list[dict[str, Any]]:
    """Forecasts every subject of the config's data set with the workdir's network; returns a row for each.

    Scaled by the steps of the run's training part, as its test was.
    """
    source = build.source(config, 'all')
    panel, task = source.panel, build.task(config, build.scored_info(config, workdir, source), None)
    variables, _ = initialise.trained(config, workdir, task, build.model(config, source.horizon))
    count = len(panel.subjects)
    batch = {
        'past': np.stack([values[-source.past :] for values in panel.values])[..., None].astype(np.float32),
        'subject': np.arange(count, dtype=np.int32),
    }
    forecasts = np.asarray(jax.jit(task.predict)(variables, batch)['forecast'])
    rows, text = [], io.StringIO()
    writer = csv.writer(text)
    writer.writerow(['subject', 'time', 'value'])
    for subject, times, forecast in zip(panel.subjects, panel.times, forecasts, strict=True):
        ahead = times[-1] + (times[-1] - times[-2]) * np.arange(1, source.horizon + 1)
        values = [float(f'{value:.7g}') for value in forecast]
        rows.append({'subject': subject, 'times': [str(t) for t in ahead], 'forecast': values})
        writer.writerows([subject, t, value] for t, value in zip(ahead, values, strict=True))
    workdir.mkdir(parents=True, exist_ok=True)
    log.write_json(workdir / 'predictions.json', rows)
    log.write_text(workdir / 'predictions.csv', text.getvalue())
    print(f'{workdir}: predictions.json and predictions.csv, {source.horizon} values of each of {count} subjects')
    return rows
