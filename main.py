"""Runs one experiment: `python main.py --config=configs/resnet.py [--workdir=DIR] [--mode=MODE] [--config.seed=1]`."""

import sys

from absl import flags
from ml_collections import config_flags

from cnn.experiments import cli

flags.adopt_module_key_flags(config_flags)
config_flags.DEFINE_config_file('config', None, 'The experiment: configs/NAME.py[:key=value,...]', lock_config=True)
flags.DEFINE_string('workdir', '', 'Where the run keeps its files; default runs/NAME with the config arguments.')
flags.DEFINE_enum('mode', 'train', list(cli.MODES), 'What to do.')
flags.DEFINE_list('images', [], 'With --mode=predict: image files or folders, separated by commas.')

if __name__ == '__main__':
    sys.exit(cli.main(flags.FLAGS, sys.argv))
