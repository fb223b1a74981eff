"""The command line: every mistake is one line that names the fix, exit code 2, before anything is compiled."""

import pathlib
import sys

import numpy as np
import pytest
from absl import flags

import main
from cnn.experiments import cli

RESNET = '--config=configs/resnet.py'


def call(monkeypatch, *arguments: str) -> int:
    values = flags.FlagValues()
    main.define(values)
    # ml_collections looks for overrides in sys.argv, whatever is parsed.
    monkeypatch.setattr(sys, 'argv', ['main.py', *arguments])
    return cli.main(values, sys.argv)


MISTAKES = {
    (): 'no --config given; write for example --config=configs/resnet.py',
    ('--config=configs/resnett.py',): "no config file configs/resnett.py; did you mean 'configs/resnet.py'?",
    (f'{RESNET}:dpth=20',): "unknown config argument 'dpth'; did you mean 'depth'?",
    (f'{RESNET}:depth',): "config argument 'depth' has no value; write depth=VALUE",
    (f'{RESNET}:depth=deep',): "config argument depth='deep' takes int",
    (f'{RESNET}:preset=small',): "unknown preset 'small'; there is tiny",
    (RESNET, '--config.lr=1'): "unknown config field 'lr'; did you mean 'optimizer.learning_rate'?",
    (RESNET, '--config.optimizer.learningrate=1'): "did you mean 'optimizer.learning_rate'?",
    (RESNET, '--config.model.dept=20'): "unknown config field 'model.dept'; did you mean 'model.depth'?",
    (RESNET, '--config.batch_size=many'): 'config.batch_size takes a whole number',
    (RESNET, '--config.batch_size=12.5'): 'config.batch_size takes a whole number',
    (RESNET, '--config.augmentation.flip=maybe'): 'config.augmentation.flip takes true or false',
    (RESNET, '--config.optimizer=adam'): 'config.optimizer is a section; set one of its fields',
    (RESNET, '--mode=trian'): 'value should be one of <train|evaluate|',
    (RESNET, '--workdr=x'): "unknown flag --workdr; did you mean 'workdir'?",
    (RESNET, 'config.seed=1'): "stray argument 'config.seed=1'; write --config.seed=1",
    (RESNET, 'train'): "stray argument 'train'; every option is written --name=value",
    (RESNET, '--process_count=2'): '--process_count needs --coordinator=HOST:PORT',
    (RESNET, '--config.optimizer.learning_rate=nan'): 'config.optimizer.learning_rate=nan is not a finite number',
    (RESNET, '--config.optimizer.learning_rate=-1'): 'config.optimizer.learning_rate=-1.0 must not be negative',
    (RESNET, '--config.epochs=0'): 'config.epochs=0.0 must be above 0',
    (RESNET, '--config.optimizer.momentum=1.5'): 'config.optimizer.momentum=1.5 must lie between 0 and 1',
    (RESNET, '--config.optimizer.name=sdg'): "config.optimizer.name='sdg' is unknown; did you mean 'sgd'?",
    (RESNET, '--config.precision=half'): "config.precision='half' is unknown",
    (RESNET, '--config.schedule.milestones=(2,1)'): 'config.schedule.milestones=(2, 1) must rise',
    (RESNET, '--config.profile=15'): "config.profile='15' is not FROM:TO",
    (RESNET, '--config.optimizer.rates=conv'): "optimizer.rates: 'conv' is not PATTERN=FACTOR",
    (RESNET, '--config.batch_size=30'): 'batch_size=30 does not divide over 4 devices; use 28 or 32',
    (RESNET, '--config.batch_size=36', '--config.optimizer.accumulate_steps=5'): 'use 20 or 40',
    (RESNET, '--config.evaluation.batch_size=3'): 'evaluation.batch_size=3 does not divide over 4 devices; use 4',
    (RESNET, '--config.devices=9'): 'devices=9, but there are 4',
    (f'{RESNET}:dataset=cifr10',): "unknown data set 'cifr10' (did you mean 'cifar10'?)",
    (f'{RESNET}:dataset=folder:/no/such/place',): '/no/such/place does not exist',
    (RESNET, '--config.evaluation.split=tset'): "mnist_5k has no split 'tset'",
    (RESNET, '--config.input.train_split=train[:0%]'): "split 'train[:0%]' is empty",
    (RESNET, '--config.input.train_split=train[:4]'): 'config.batch_size=64 is over eight epochs of 4 examples',
    (RESNET, '--config.model.depth=9'): 'the nearest are 8 and 14',
    (RESNET, '--config.model.name=resnext'): "unknown network 'resnext'; did you mean 'resnet'?",
    (RESNET, '--config.optimizer.freeze=convv'): 'matches no parameter; their paths look like conv1/kernel',
    (RESNET, '--config.init_from=nothing.pth'): 'config.init_from=nothing.pth: no such file or workdir',
    (RESNET, '--mode=predict'): '--mode=predict needs --images=FILE,FOLDER,...',
    (RESNET, '--mode=predict', '--images=nobody.jpg'): 'no such image: nobody.jpg',
    (RESNET, '--mode=evaluate'): 'holds no checkpoint; train there first, or set config.init_from',
    (RESNET, '--config.evaluation.resize=20'): 'config.evaluation.resize=20 is smaller than config.image_size=28',
    (RESNET, '--config.input.mode=resident', '--config.input.resident_bytes=1000'): 'use streaming',
}


@pytest.mark.parametrize('arguments', MISTAKES, ids=lambda a: ' '.join(a[1:] or a) or 'none')
def test_a_mistake_is_one_line_and_exit_code_2(arguments, tmp_path, capsys, monkeypatch):
    def compiled(*_, **__):
        raise AssertionError('something was compiled before the mistake was found')

    # Initialisation runs a small program of its own; the step is what must not be compiled.
    monkeypatch.setattr('cnn.training.parallel.Replicas.compile', compiled)
    extra = [] if not arguments or any('workdir' in a for a in arguments) else [f'--workdir={tmp_path}/run']
    assert call(monkeypatch, *arguments, *extra) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert error.count('\n') == 1
    assert MISTAKES[arguments] in error
    assert not (tmp_path / 'run' / 'result.json').exists()


def test_the_default_workdir_is_named_after_config_and_arguments():
    assert cli._default_workdir('configs/resnet.py', '') == 'runs/resnet'
    name = cli._default_workdir('configs/resnet.py', 'dataset=cifar10,depth=20')
    assert name == 'runs/resnet_dataset=cifar10,depth=20'
    assert '/' not in cli._default_workdir('configs/resnet.py', 'dataset=folder:/a/b').removeprefix('runs/')


def test_a_value_error_from_inside_a_library_is_a_crash_not_a_mistake(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr('cnn.experiments.train.run', lambda *_: np.zeros(3).reshape(7))
    assert call(monkeypatch, RESNET, f'--workdir={tmp_path}') == 1
    assert 'Traceback' in capsys.readouterr().err


def test_main_stays_thin():
    assert len(pathlib.Path(main.__file__).read_text().splitlines()) < 80
