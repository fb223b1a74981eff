"""Forecasts of several subjects' series by dilated causal convolutions (van den Oord et al. 2016; Bai et al. 2018).

  python main.py --config=configs/forecast.py                           trains on the first four fifths of the years
  python main.py --config=configs/forecast.py --mode=cross_validate     the two nested schemes, with naive and linear
  python main.py --config=configs/forecast.py --mode=sweep              settings by the latest years of training
  python main.py --config=configs/forecast.py:dataset=series:mine.csv,past=24,horizon=12 --mode=cross_validate

Arguments: dataset (fertility: births per woman in 188 countries, 1960 to 2011; series:FILE.csv with the columns
subject,time,value), past (values that a forecast is made from), horizon (values that are forecast), block (gated or
tcn), preset=tiny. The folds are Cochrane's (Time Series Nested Cross-Validation, 2018), see
input_pipeline/series_folds.py.

Expected, mean absolute error over the next five years in births per woman, three seeds: 0.056 on the last eleven years
after ten seconds of training (the last value repeated: 0.148). Cross-validated over three windows of 32 countries:
0.040 with all countries' past, 0.104 with a country's own alone, 0.040 for an autoregression of its own; two to three
minutes a seed on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='fertility', past=16, horizon=5, block='tcn')
    # The side of an image is here the length of the past.
    a.image_size = a.image_size or a.past
    model = {'name': 'forecaster', 'block': a.block, 'width': 8, 'kernel_size': 2, 'blocks': 0, 'weight_norm': False,
             'dropout': 0.0}  # fmt: skip
    c = common.base(a, model=model, small=True)
    c.task = 'forecasting'
    c.precision = 'float32'
    c.series = ConfigDict()
    c.series.horizon = a.horizon
    # So many of the subjects, drawn by the hash of their names; 0 for all.
    c.series.subjects = 0
    # What changes are forecast from: the last known value, or the subject's mean.
    c.series.anchor = 'last'
    # mae or mse, in steps of each subject.
    c.loss.name = 'mae'
    c.input.statistics = 'computed'
    c.batch_size = 128
    # Every model takes as many steps, whether it is trained on one subject or on all: a run is 20 epochs by name.
    c.steps = 800
    c.epochs = 20.0
    c.optimizer.name = 'adamw'
    c.optimizer.learning_rate = 0.01
    c.optimizer.weight_decay = 1e-4
    c.schedule.warmup_epochs = 1.0
    c.evaluation.every_epochs = 2.0
    c.checkpoint.every_epochs = 2.0
    c.checkpoint.best_metric = 'mae'
    _folds(c.folds)
    if a.preset == 'tiny':
        common.tiny(c)
        c.steps, c.series.subjects, c.folds.subjects, c.folds.count = 20, 8, 4, 1
        c.folds.grid = ''
    return c


def search_space(trial) -> dict:
    """What `--mode=sweep` varies."""
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 3e-4, 3e-2, log=True),
        'optimizer.weight_decay': trial.suggest_float('optimizer.weight_decay', 1e-6, 1e-2, log=True),
    }


def _folds(c) -> None:
    # regular (a subject's own past), population_informed (the others' as well), both
    c.kind = 'both'
    # forward_chaining (the last `count` windows in turn) or second_half
    c.division = 'forward_chaining'
    # expanding or rolling training windows
    c.window = 'expanding'
    c.count = 3
    # Values in a test and in a validation window; 0: the horizon, with second_half what series_folds.py says.
    c.test_size = 0
    c.validation_size = 0
    # Of a rolling window; 0 for what the first fold trains on.
    c.train_size = 0
    # Of the others' values those before the test, or with any_time (Cochrane's variant) all of them.
    c.others = 'before'
    # So many subjects at most are tested, drawn by the hash of their names; 0 for all. All of them inform.
    c.subjects = 32
    # What validation windows choose between, for each fold: the kind of block and how long to train.
    c.grid = 'model.block=gated,tcn;steps=200,800'
    c.layout = 'stacked'
