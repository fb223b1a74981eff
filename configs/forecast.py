"""Forecasts of several subjects' series by dilated causal convolutions (van den Oord et al. 2016; Bai et al. 2018).

  python main.py --config=configs/forecast.py                           trains on the first four fifths of the years
  python main.py --config=configs/forecast.py --mode=cross_validate     the two nested schemes, with naive and linear
  python main.py --config=configs/forecast.py:dataset=series:mine.csv,past=24,horizon=12 --mode=cross_validate

Arguments: dataset (fertility: births per woman in 188 countries, 1960 to 2011; series:FILE.csv with the columns
subject,time,value), past (values that a forecast is made from), horizon (values that are forecast), block (gated or
tcn), preset=tiny. The folds are Cochrane's (Time Series Nested Cross-Validation, 2018), see
input_pipeline/series_folds.py. Expected: TO BE MEASURED.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = ''):
    """See the file's docstring."""
    a = common.parse_arg(arg, dataset='fertility', past=16, horizon=5, block='gated')
    a.image_size = a.image_size or a.past
    model = {'name': 'forecaster', 'block': a.block, 'width': 16, 'kernel_size': 2, 'blocks': 0, 'weight_norm': False,
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
    c.batch_size = 128
    c.epochs = 20.0
    c.optimizer.name = 'adamw'
    c.optimizer.learning_rate = 0.003
    c.optimizer.weight_decay = 1e-4
    c.schedule.warmup_epochs = 1.0
    c.evaluation.every_epochs = 2.0
    c.checkpoint.every_epochs = 2.0
    c.checkpoint.best_metric = 'mae'
    if a.preset == 'tiny':
        common.tiny(c)
    return c
