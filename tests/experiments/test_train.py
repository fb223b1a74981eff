"""Training as a user runs it: end to end, killed, stopped, resumed."""

import json
import logging
import random
import signal

import numpy as np
import pytest

from cnn.experiments import train
from configs import resnet
from tests.experiments import runs


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp('compiled')


@pytest.fixture(scope='module')
def whole(tmp_path_factory, cache):
    """The workdir of a run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp('whole') / 'run'
    runs.finish(runs.start(workdir, cache=cache))
    return workdir


def test_a_run_leaves_what_the_contract_says(whole):
    result = json.loads((whole / 'result.json').read_text())
    assert set(result) >= {'metrics', 'config', 'seed', 'steps', 'wall_seconds', 'images_per_second', 'versions',
                           'devices', 'commit'}  # fmt: skip
    assert set(result['metrics']) >= {'loss', 'accuracy', 'top5_accuracy', 'mean_class_accuracy'}
    assert result['steps'] == 40
    assert result['images_per_second'] > 0
    assert json.loads((whole / 'config.json').read_text())['batch_size'] == 32
    for name in ('curves.png', 'confusion.png', 'mistakes.png'):
        assert (whole / name).read_bytes().startswith(b'\x89PNG'), name
    assert list((whole / 'tensorboard').iterdir())
    splits = {record['split'] for record in runs.records(whole)}
    assert splits == {'train', 'test[:200]'}
    # It learns: ten classes, so 0.1 is chance.
    assert result['metrics']['accuracy'] > 0.25


def test_kill_9_twice_ends_with_the_same_bits_the_same_record_and_the_same_result(whole, cache, tmp_path):
    workdir = tmp_path / 'run'
    rng = random.Random()
    for step in (rng.randrange(4, 16), rng.randrange(20, 34)):
        process = runs.start(workdir, cache=cache)
        delay = rng.uniform(0, 0.3)
        print(f'kill -9 {delay:.2f} s after step {step}')
        runs.stop_at(process, workdir, step, signal.SIGKILL, delay)
        runs.finish(process, -signal.SIGKILL)
    runs.finish(runs.start(workdir, cache=cache))
    assert (workdir / 'metrics.jsonl').read_bytes() == (whole / 'metrics.jsonl').read_bytes()
    assert runs.result(workdir) == runs.result(whole)
    ours, theirs = runs.arrays(workdir), runs.arrays(whole)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.tobytes() == theirs[name].tobytes(), name


def test_sigterm_saves_exits_0_and_the_same_command_goes_on_exactly(whole, cache, tmp_path):
    workdir = tmp_path / 'run'
    process = runs.start(workdir, cache=cache)
    runs.stop_at(process, workdir, 6, signal.SIGTERM)
    output = runs.finish(process, 0)
    assert 'the same command goes on from there' in output
    assert not (workdir / 'result.json').exists()
    runs.finish(runs.start(workdir, cache=cache))
    assert (workdir / 'metrics.jsonl').read_bytes() == (whole / 'metrics.jsonl').read_bytes()
    assert runs.result(workdir) == runs.result(whole)


def test_a_changed_config_is_refused_naming_the_fields(whole, cache):
    output = runs.finish(runs.start(whole, '--config.batch_size=64', '--config.seed=3', cache=cache), 2)
    assert output.count('\n') == 1
    assert 'batch_size was 32, is 64' in output
    assert 'seed was 0, is 3' in output


def test_a_loss_that_is_not_finite_stops_with_step_rate_and_examples(cache, tmp_path):
    output = runs.finish(runs.start(tmp_path / 'run', '--config.optimizer.learning_rate=1e30', cache=cache), 1)
    last = output.strip().splitlines()[-1]
    assert last.startswith('error: the loss or gradient is not finite at step ')
    assert 'learning rate' in last
    assert 'batch of mnist' in last
    assert 'no checkpoint was saved before' in last
    assert 'Traceback' not in output


def small_config():
    config = resnet.get_config('preset=tiny')
    config.devices = 1
    config.model.width = 2
    config.input.train_split, config.evaluation.split = 'train[:96]', 'test[:30]'
    config.epochs, config.log_every_steps, config.evaluation.every_epochs = 3.0, 2, 1.0
    return config


@pytest.mark.usefixtures('no_pictures')
def test_a_run_goes_on_with_another_number_of_devices(tmp_path, monkeypatch):
    config = small_config()
    with monkeypatch.context() as patch:
        patch.setattr('cnn.training.interrupt.Interrupt.reached', lambda _, step: step >= 4)
        assert train.run(config, tmp_path) == {}
    assert int(runs.arrays(tmp_path)['step']) == 4
    config.devices = 4
    result = train.run(config, tmp_path)
    assert result['steps'] == 9
    assert int(runs.arrays(tmp_path)['step']) == 9
    records = [record for record in runs.records(tmp_path) if record['split'] == 'train']
    assert [record['step'] for record in records] == [2, 4, 6, 8, 9]
    assert all(np.isfinite(record['loss']) for record in records)


def test_a_damaged_compilation_cache_costs_a_warning_and_changes_nothing(whole, cache, tmp_path):
    # In its place, which is a part of each entry's name.
    entries = {path: path.read_bytes() for path in sorted(cache.glob('*-cache'))}
    assert len(entries) >= 2
    try:
        for i, (path, content) in enumerate(entries.items()):
            path.write_bytes(content[: len(content) // 2] if i % 2 else bytes(range(256)) * 8)
        output = runs.finish(runs.start(tmp_path / 'run', cache=cache))
    finally:
        for path, content in entries.items():
            path.write_bytes(content)
    assert 'Error reading persistent compilation cache entry' in output
    assert (tmp_path / 'run' / 'metrics.jsonl').read_bytes() == (whole / 'metrics.jsonl').read_bytes()
    assert runs.result(tmp_path / 'run') == runs.result(whole)


@pytest.mark.usefixtures('no_pictures')
def test_the_step_and_the_evaluation_compile_once_a_run(tmp_path, caplog):
    import jax

    with caplog.at_level(logging.WARNING), jax.log_compiles():
        train.run(small_config(), tmp_path / 'run')
    finished = [r.getMessage() for r in caplog.records if 'Finished XLA compilation' in r.getMessage()]
    assert sum('train_step' in message for message in finished) == 1, finished
    assert sum('evaluation_step' in message for message in finished) == 1, finished


@pytest.mark.usefixtures('no_pictures')
def test_streaming_and_resident_data_train_to_the_same_bits(tmp_path):
    weights = []
    for mode in ('resident', 'streaming'):
        config = small_config()
        config.input.mode = mode
        train.run(config, tmp_path / mode)
        weights.append(runs.arrays(tmp_path / mode))
    for name, array in weights[0].items():
        assert array.tobytes() == weights[1][name].tobytes(), name
