"""The record of a run, its TensorBoard mirror after a kill and a resume, and JSON files that are never torn."""

import json
import os
import resource
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from cnn.training import log


def lines(folder) -> list[dict]:
    def refuse(name):
        raise AssertionError(f'{name} is no JSON')

    return [json.loads(line, parse_constant=refuse) for line in (folder / 'metrics.jsonl').read_text().splitlines()]


def points(folder) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: a START event drops what was recorded before it from its step on."""
    shown = {}
    for path in sorted((folder / 'tensorboard').iterdir()):
        content = path.read_bytes()
        while len(content) >= 12:
            (size,) = struct.unpack('<Q', content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + size])
            content = content[12 + size + 4 :]
            if event.session_log.status == event_pb2.SessionLog.START:
                shown = {name: [p for p in old if p[0] < event.step] for name, old in shown.items()}
            for value in event.summary.value:
                shown.setdefault(value.tag, []).append((event.step, value.simple_value))
    return shown


def write(writer: log.MetricsWriter, steps) -> None:
    for step in steps:
        writer.write(step, 'train', {'loss': 2.0**-step})
        writer.scalars(step, {'images_per_second': 100.0 * step})


def test_a_line_is_valid_json_with_the_values_given(tmp_path):
    with log.MetricsWriter(tmp_path) as writer:
        writer.write(1, 'train', {'loss': np.float32(0.1), 'accuracy': jnp.float32(0.5)})
        writer.write(np.int64(2), 'test', {'loss': float('nan'), 'map_50': np.inf, 'folds': np.array([1.0, np.nan])})
    assert lines(tmp_path) == [
        {'step': 1, 'split': 'train', 'loss': float(np.float32(0.1)), 'accuracy': 0.5},
        {'step': 2, 'split': 'test', 'loss': None, 'map_50': None, 'folds': [1.0, None]},
    ]
    assert list(lines(tmp_path)[0])[:2] == ['step', 'split']
    shown = points(tmp_path)
    assert shown['train/accuracy'] == [(1, 0.5)]
    assert not any(name.startswith('test/') for name in shown), 'no point for what is not finite'


def test_flush_puts_every_line_on_the_disk(tmp_path):
    writer = log.MetricsWriter(tmp_path)
    write(writer, [1, 2])
    writer.flush()
    assert [line['step'] for line in lines(tmp_path)] == [1, 2]
    writer.close()
    writer.close()


@pytest.mark.parametrize('torn', [b'', b'{"step": 3, "spl', b'{"step": 3, "split": "train", "loss": 0.1}', b'\x00\xff'])
def test_a_resumed_run_leaves_the_file_of_one_that_never_stopped(tmp_path, torn):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    with log.MetricsWriter(whole) as writer:
        write(writer, range(1, 9))
    # Killed twice: checkpoints stood at steps 2 and 5, lines up to 4 and 6 and a part of the next were on the disk.
    for start, end in ((0, 4), (2, 6), (5, 8)):
        with log.MetricsWriter(killed, start_step=start) as writer:
            write(writer, range(start + 1, end + 1))
        if end < 8:
            with open(killed / 'metrics.jsonl', 'ab') as file:
                file.write(torn)
    assert (killed / 'metrics.jsonl').read_bytes() == (whole / 'metrics.jsonl').read_bytes()
    assert points(killed) == points(whole)
    assert [step for step, _ in points(killed)['images_per_second']] == list(range(1, 9))


def test_a_new_run_starts_an_empty_record(tmp_path):
    for _ in range(2):
        with log.MetricsWriter(tmp_path) as writer:
            write(writer, range(3))
    assert [line['step'] for line in lines(tmp_path)] == [0, 1, 2]
    assert [step for step, _ in points(tmp_path)['train/loss']] == [0, 1, 2]


def test_a_spoilt_line_is_taken_out_and_told(tmp_path, caplog):
    with log.MetricsWriter(tmp_path) as writer:
        write(writer, [1, 2])
    path = tmp_path / 'metrics.jsonl'
    path.write_bytes(path.read_bytes().replace(b'{"step": 1', b'{"st\xffp": 1', 1))
    log.MetricsWriter(tmp_path, start_step=2).close()
    assert [line['step'] for line in lines(tmp_path)] == [2]
    assert str(path) in caplog.text


def test_values_of_python_numpy_and_jax_become_json():
    value = {1: (np.int32(3), jnp.arange(2), None), 'b': [True, np.bool_(False)], 'c': {3, 1}, 'd': -np.inf}
    assert log.to_json(value) == {'1': [3, [0, 1], None], 'b': [True, False], 'c': [1, 3], 'd': None}
    assert log.to_json(os.path) == str(os.path)


def test_a_json_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'new' / 'result.json'
    log.write_json(path, {'accuracy': 0.5, 'loss': float('nan')})
    assert json.loads(path.read_text()) == {'accuracy': 0.5, 'loss': None}
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match='File too large'):
            log.write_json(path, list(range(100_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ['result.json']
