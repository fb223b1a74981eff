"""Runs one experiment: `python main.py --config=configs/resnet.py [--workdir=DIR] [--mode=MODE] [--config.seed=1]`."""

import sys

from absl import flags
from ml_collections import config_flags

from cnn.experiments import cli


def define(values: flags.FlagValues) -> None:
    """The command line's flags."""
    about = 'The experiment: configs/NAME.py[:key=value,...]; single fields: --config.optimizer.learning_rate=0.05'
    config_flags.DEFINE_config_file('config', None, about, flag_values=values, lock_config=True)
    flags.DEFINE_string('workdir', '', "The run's folder; by default runs/NAME_ARGUMENTS.", flag_values=values)
    flags.DEFINE_enum('mode', 'train', list(cli.MODES), 'What to do.', flag_values=values)
    flags.DEFINE_list('images', [], 'mode=predict: files or folders, separated by commas; mode=export: to check with.',
                      flag_values=values)  # fmt: skip
    flags.DEFINE_list('formats', [], 'mode=export: stablehlo, onnx; by default what the task can have.',
                      flag_values=values)  # fmt: skip
    flags.DEFINE_list('runs', [], 'mode=report: workdirs to compare, patterns allowed; by default --workdir alone.',
                      flag_values=values)  # fmt: skip
    sweep = 'mode=sweep: '
    flags.DEFINE_integer('trials', 0, sweep + 'how many, over all workers and restarts; 0 for 20, or the whole grid.',
                         flag_values=values)  # fmt: skip
    flags.DEFINE_string('storage', '', sweep + 'a database that workers share, as postgresql://USER@HOST/NAME; by '
                        'default a journal in the workdir.', flag_values=values)  # fmt: skip
    several = 'Several processes: '
    flags.DEFINE_string('coordinator', '', several + 'host:port of process 0; "auto" asks the cluster, "none" not; '
                        'by default training and evaluation ask.', flag_values=values)  # fmt: skip
    flags.DEFINE_integer('process_count', 1, several + 'how many there are.', flag_values=values)
    flags.DEFINE_integer('process_id', 0, several + 'which this one is.', flag_values=values)
    flags.DEFINE_integer('heartbeat_seconds', 100, several + 'one that gives no sign of life for so long is gone.',
                         flag_values=values)  # fmt: skip
    flags.DEFINE_integer('join_seconds', 300, several + 'how long to wait for the last to come.', flag_values=values)


if __name__ == '__main__':
    cli.prepare_process()
    define(flags.FLAGS)
    sys.exit(cli.main(flags.FLAGS, sys.argv))
