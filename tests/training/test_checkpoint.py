"""Saving and restoring in one process: what comes back, what is kept, what is refused, and every damage to a file."""

import json
import logging
import pathlib
import typing

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnn.training.checkpoint import CheckpointError, Checkpoints


class Moments(typing.NamedTuple):
    count: typing.Any
    mu: typing.Any


def tree(step: int) -> dict:
    """A state whose every number tells its step; `noise` cannot be compressed, so its bytes are found in the file."""
    noise = np.random.default_rng(step).integers(0, 256, 20_000, np.uint8)
    return {'params': {'kernel': np.full((3, 4), step, np.float32), 'noise': noise}, 'step': np.int32(step)}


def save_all(folder, metrics: dict[int, dict | None], **options) -> None:
    with Checkpoints(folder, **options) as checkpoints:
        for step, values in metrics.items():
            assert checkpoints.save(step, tree(step), values)


def folders(path) -> list[int]:
    return sorted(int(entry.name) for entry in pathlib.Path(path).iterdir() if entry.name.isdigit())


def assert_equal(restored, expected) -> None:
    restored, expected = jax.tree.leaves(restored), jax.tree.leaves(expected)
    assert len(restored) == len(expected)
    for a, b in zip(restored, expected, strict=True):
        b = np.asarray(b)
        assert type(a) is np.ndarray
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


def test_returns_the_bits_of_every_kind_of_leaf(tmp_path):
    values = {
        'float32': np.array([1.5, np.nan, -0.0, np.inf], np.float32),
        'bfloat16': np.arange(6).astype(ml_dtypes.bfloat16).reshape(2, 3),
        'others': (np.array([True, False]), np.arange(3, dtype=np.int64), np.float16(2.5), np.uint8(7)),
        'zeros': np.zeros((5, 5), np.float32),
        'empty': np.zeros((0, 4), np.float16),
        'nothing': {'none': None, 'container': {}},
        'optimizer': (Moments(np.int32(3), {'kernel': np.ones((2, 2), np.float32)}), ()),
    }
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        assert checkpoints.restore(values) is None
        assert checkpoints.latest_step() is None
        checkpoints.save(12, values, {'accuracy': 0.25, 'loss': float('nan')})
        template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), values)
        step, restored, metrics = checkpoints.restore(template)
    assert step == 12
    assert metrics['accuracy'] == 0.25
    assert np.isnan(metrics['loss'])
    assert jax.tree.structure(restored) == jax.tree.structure(values)
    assert_equal(restored, values)


def test_arrays_spread_over_devices_are_saved_whole(tmp_path):
    mesh = Mesh(np.array(jax.devices()), ('x',))
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    spread = {
        'members': jax.device_put(values, NamedSharding(mesh, PartitionSpec('x'))),
        'replicas': jax.device_put(values, NamedSharding(mesh, PartitionSpec())),
    }
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, spread)
        assert_equal(checkpoints.restore(spread)[1], {'members': values, 'replicas': values})


def test_a_buffer_changed_after_save_returns_does_not_reach_the_disk(tmp_path):
    large = np.ones((1000, 1000), np.float32)
    donated = jnp.ones((1000, 1000))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {'host': large, 'device': donated})
        large[:] = 2
        jax.block_until_ready(jax.jit(lambda x: x * 3, donate_argnums=0)(donated))
        restored = checkpoints.restore({'host': large, 'device': jax.ShapeDtypeStruct((1000, 1000), jnp.float32)})[1]
    assert np.all(restored['host'] == 1)
    assert np.all(restored['device'] == 1)


def test_random_keys_and_objects_are_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match='never saved'):
            checkpoints.save(1, {'key': jax.random.key(0)})
        with pytest.raises(ValueError, match='not an array'):
            checkpoints.save(1, {'key': object()})
    assert folders(tmp_path) == []


@pytest.mark.parametrize(
    ('mode', 'values', 'keep', 'kept', 'best'),
    [
        ('max', [0.1, 0.9, 0.3, float('nan'), float('inf'), 0.2], 1, [2, 6], 2),
        ('min', [3.0, float('-inf'), 0.5, 0.5, 2.0, float('nan')], 2, [3, 5, 6], 3),
        ('max', [float('nan')] * 6, 1, [6], None),
        ('max', [None, None, 0.5, None, None, None], 2, [3, 5, 6], 3),
    ],
)
def test_keeps_the_latest_and_the_best(tmp_path, mode, values, keep, kept, best):
    metrics = {step: None if value is None else {'score': value} for step, value in enumerate(values, 1)}
    save_all(tmp_path, metrics, keep=keep, best_metric='score', best_mode=mode)
    assert folders(tmp_path) == kept
    opened = Checkpoints(tmp_path, keep=keep, best_metric='score', best_mode=mode)
    assert opened.steps() == kept
    assert opened.best_step() == best
    assert opened.latest_step() == 6


def test_the_best_of_an_earlier_run_stays(tmp_path):
    save_all(tmp_path, {1: {'accuracy': 0.9}, 2: {'accuracy': 0.5}})
    save_all(tmp_path, {3: {'accuracy': 0.8}, 4: {'accuracy': 0.7}})
    assert folders(tmp_path) == [1, 4]


def data_files(step: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in (step / 'state').rglob('*') if path.is_file() and path.parent.name == 'd')


def flip_bit(step: pathlib.Path) -> None:
    """One bit in the middle of what `noise` holds on the disk."""
    wanted = tree(int(step.name))['params']['noise'].tobytes()[10_000:10_032]
    hits = [(path, path.read_bytes().find(wanted)) for path in data_files(step)]
    [(path, offset)] = [(path, offset) for path, offset in hits if offset >= 0]
    content = bytearray(path.read_bytes())
    content[offset + 5] ^= 0b100
    path.write_bytes(content)


def truncate_data(step: pathlib.Path) -> None:
    largest = max(data_files(step), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def remove_data(step: pathlib.Path) -> None:
    max(data_files(step), key=lambda path: path.stat().st_size).unlink()


def remove_index(step: pathlib.Path) -> None:
    (step / 'state' / 'manifest.ocdbt').unlink()


def empty_record(step: pathlib.Path) -> None:
    (step / 'record' / 'metadata').write_bytes(b'')


def remove_record(step: pathlib.Path) -> None:
    (step / 'record' / 'metadata').unlink()


def change_metric(step: pathlib.Path) -> None:
    path = step / 'record' / 'metadata'
    path.write_text(path.read_text().replace('0.125', '0.925'))


def rename_step(step: pathlib.Path) -> None:
    step.rename(step.with_name('4'))


DAMAGE = {
    flip_bit: 'leaf params/noise of {folder}/3/state does not match its checksum',
    truncate_data: '{folder}/3/state',
    remove_data: '{folder}/3/state',
    remove_index: '{folder}/3/state',
    empty_record: '{folder}/3/record/metadata is unreadable',
    remove_record: '{folder}/3/record/metadata is missing',
    change_metric: '{folder}/3/record/metadata does not match its checksum',
    rename_step: '{folder}/4/record/metadata belongs to step 3',
}


@pytest.mark.parametrize('damage', DAMAGE, ids=lambda damage: damage.__name__)
def test_falls_back_to_the_step_before_and_says_why(tmp_path, caplog, damage):
    save_all(tmp_path, {2: {'accuracy': 0.5}, 3: {'accuracy': 0.125}}, keep=2)
    damage(tmp_path / '3')
    step, restored, metrics = Checkpoints(tmp_path).restore(tree(0))
    assert (step, metrics) == (2, {'accuracy': 0.5})
    assert_equal(restored, tree(2))
    [warning] = [record.getMessage() for record in caplog.records]
    assert DAMAGE[damage].format(folder=tmp_path) in warning
    assert '\n' not in warning


def test_a_run_that_fell_back_passes_the_damaged_step_again(tmp_path):
    save_all(tmp_path, {2: None, 3: None}, keep=2)
    flip_bit(tmp_path / '3')
    damaged = (tmp_path / '3' / 'record' / 'metadata').read_bytes()
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.restore(tree(0))[0] == 2
        assert checkpoints.save(3, tree(3))
        assert checkpoints.save(4, tree(4))
    assert folders(tmp_path) == [3, 4]
    assert (tmp_path / 'set_aside' / '3-0' / 'record' / 'metadata').read_bytes() == damaged
    step, restored, _ = Checkpoints(tmp_path).restore(tree(0), step=3)
    assert step == 3
    assert_equal(restored, tree(3))


def test_two_damaged_steps_are_both_passed_over(tmp_path):
    save_all(tmp_path, {1: None, 2: None, 3: None}, keep=3)
    flip_bit(tmp_path / '3')
    remove_index(tmp_path / '2')
    assert Checkpoints(tmp_path).restore(tree(0))[0] == 1


def test_nothing_readable_is_an_error_not_a_fresh_start(tmp_path):
    save_all(tmp_path, {1: None})
    flip_bit(tmp_path / '1')
    with pytest.raises(CheckpointError, match=r'no readable checkpoint .* 1 \(leaf params/noise'):
        Checkpoints(tmp_path).restore(tree(0))


def test_the_step_that_was_asked_for_or_none(tmp_path):
    save_all(tmp_path, {1: None, 2: None}, keep=2)
    flip_bit(tmp_path / '2')
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore(tree(0), step=1)[0] == 1
    with pytest.raises(CheckpointError, match='params/noise'):
        checkpoints.restore(tree(0), step=2)
    with pytest.raises(ValueError, match=r'step 7 is not in .*; steps there: 1'):
        checkpoints.restore(tree(0), step=7)


def test_foreign_folders_and_files_are_ignored_and_never_deleted(tmp_path, caplog):
    (tmp_path / '5').mkdir()
    (tmp_path / '6').mkdir()
    (tmp_path / '6' / 'notes.txt').write_text('mine')
    (tmp_path / '7.orbax-checkpoint-tmp').mkdir()
    (tmp_path / 'readme').write_text('mine')
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest_step() is None
    assert checkpoints.restore(tree(0)) is None
    assert [record.getMessage().split(' is ignored')[0] for record in caplog.records] == [
        str(tmp_path / '5'),
        str(tmp_path / '6'),
    ]
    with checkpoints:
        for step in (1, 2, 5, 6):
            assert checkpoints.save(step, tree(step))
    assert folders(tmp_path) == [6]
    assert (tmp_path / 'set_aside' / '6-0' / 'notes.txt').read_text() == 'mine'
    assert (tmp_path / 'readme').read_text() == 'mine'
    assert Checkpoints(tmp_path).restore(tree(0))[0] == 6


def test_saving_a_step_twice(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.save(1, tree(1), {'accuracy': 0.5})
        assert checkpoints.save(2, tree(2), {'loss': 1.0})
        assert not checkpoints.save(2, tree(2)), 'the same arrays are not written again'
        assert not checkpoints.save(2, tree(2), {}), 'a save without metrics takes none away'
        assert checkpoints.metrics(2) == {'loss': 1.0}
        assert not checkpoints.save(2, tree(2), {'accuracy': 0.75})
        assert checkpoints.best_step() == 2
        with pytest.raises(ValueError, match=r'step 2 is to be saved .* step 2 stands already'):
            checkpoints.save(2, tree(20))
        with pytest.raises(ValueError, match=r'step 1 is to be saved .* step 2 stands already'):
            checkpoints.save(1, tree(10))
        assert checkpoints.save(2, tree(20), {'accuracy': 0.25}, force=True)
        assert_equal(checkpoints.restore(tree(0))[1], tree(20))
    assert Checkpoints(tmp_path).metrics(2) == {'accuracy': 0.25}


def test_going_on_from_an_earlier_step_sets_the_later_ones_aside(tmp_path, caplog):
    save_all(tmp_path, {1: None, 2: None, 3: None}, keep=3)
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        with pytest.raises(ValueError, match='step 3 stands already'):
            checkpoints.save(2, tree(9))
        checkpoints.restore(tree(0), step=1)
        assert checkpoints.save(2, tree(20))
    assert folders(tmp_path) == [1, 2]
    assert sorted(path.name for path in (tmp_path / 'set_aside').iterdir()) == ['2-0', '3-0']
    assert 'went on from an earlier step' in caplog.text


def test_another_tree_is_refused_with_names(tmp_path):
    save_all(tmp_path, {1: None})
    other = {
        'params': {'kernel': np.zeros((4, 3), np.float32), 'bias': np.zeros(3, np.float32)},
        'step': np.int64(0),
    }
    with pytest.raises(ValueError, match='does not fit') as caught:
        Checkpoints(tmp_path).restore(other)
    message = str(caught.value)
    assert '1 missing: params/bias;' in message
    assert '1 unexpected: params/noise;' in message
    assert '2 mismatched: params/kernel (saved float32[3, 4], expected float32[4, 3]), step (saved int32[], ' in message
    assert '\n' not in message
    many = {f'layer{i:03}': np.zeros(1, np.float32) for i in range(100)}
    with pytest.raises(ValueError, match=r'100 missing: layer000, .* and 92 more') as caught:
        Checkpoints(tmp_path).restore(many)
    assert len(str(caught.value)) < 600


def test_a_part_of_the_tree(tmp_path):
    save_all(tmp_path, {1: None})
    checkpoints = Checkpoints(tmp_path)
    assert set(checkpoints.shapes()) == {'params/kernel', 'params/noise', 'step'}
    part = {'params': tree(0)['params']}
    assert_equal(checkpoints.restore(part, subset=True)[1], {'params': tree(1)['params']})
    with pytest.raises(ValueError, match='2 unexpected: params/noise, step'):
        checkpoints.restore({'params': {'kernel': part['params']['kernel']}})
    with pytest.raises(ValueError, match='1 unexpected: params/noise'):
        checkpoints.restore({'params': {'kernel': part['params']['kernel']}}, subset=True)


def test_a_resumed_run_with_other_settings_is_refused(tmp_path):
    fields = {'seed': 1, 'model': {'depth': 20, 'blocks': (3, 3)}, 'lr': 0.1, 'gone': True, 'input': {'threads': 2}}
    save_all(tmp_path, {1: None}, fingerprint=fields)
    Checkpoints(tmp_path, fingerprint=json.loads(json.dumps(fields)))
    changed = {**fields, 'seed': 2, 'model': {'depth': 56, 'blocks': [3, 3]}, 'new': 0, 'input': {'threads': 8}}
    del changed['gone']
    with pytest.raises(ValueError, match='other settings') as caught:
        Checkpoints(tmp_path, fingerprint=changed, free_keys=('input',))
    assert ': gone was True, is absent; model.depth was 20, is 56; new was absent, is 0; seed was 1, is 2. ' in str(
        caught.value
    )
    Checkpoints(tmp_path, fingerprint=changed, free_keys=('seed', 'gone', 'new', 'model', 'input.threads'))
    Checkpoints(tmp_path)


def test_settings_of_a_run_without_checkpoints_may_change(tmp_path):
    save_all(tmp_path, {1: None}, fingerprint={'seed': 1})
    (tmp_path / '1').rename(tmp_path / 'elsewhere')
    save_all(tmp_path, {1: None}, fingerprint={'seed': 2})
    with pytest.raises(ValueError, match='seed was 2, is 1'):
        Checkpoints(tmp_path, fingerprint={'seed': 1})


def test_a_lost_fingerprint_is_told(tmp_path, caplog):
    save_all(tmp_path, {1: None}, fingerprint={'seed': 1})
    (tmp_path / 'fingerprint.json').write_text('{')
    Checkpoints(tmp_path, fingerprint={'seed': 2})
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert 'fingerprint.json cannot be read' in caplog.text


def test_reading_writes_nothing(tmp_path):
    missing = tmp_path / 'missing'
    with Checkpoints(missing, fingerprint={'seed': 1}) as checkpoints:
        assert checkpoints.restore(tree(0)) is None
    assert not missing.exists()


@pytest.mark.parametrize('options', [{'keep': 0}, {'best_mode': 'maximum'}])
def test_options_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Checkpoints(tmp_path, **options)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(CheckpointError, match=r'cannot save step 1 in .*/file: .*; no earlier checkpoint exists'):
        Checkpoints(tmp_path / 'file').save(1, tree(1))
