"""Workdirs made by hand: what runs leave, without training anything."""

import json
import pathlib
import struct
import zlib

import numpy as np

from cnn.analysis import fold_statistics
from cnn.analysis.ledger import Ledger
from input_pipeline import fold_file

CONFIG = {
    'task': 'classification',
    'dataset': 'mnist_5k',
    'seed': 0,
    'checkpoint': {'best_metric': 'accuracy', 'keep': 2},
    'model': {'name': 'resnet', 'depth': 8},
    'optimizer': {'learning_rate': 0.1},
}
PROVENANCE = {'versions': {'jax': '0.10.2'}, 'commit': 'a' * 40, 'wall_seconds': 76.2, 'images_per_second': 812.0,
              'devices': {'platform': 'cpu', 'kind': 'cpu', 'count': 1, 'processes': 1, 'cpus': 2}}  # fmt: skip


def write(folder: pathlib.Path, name: str, content) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def png(width: int = 8, height: int = 8) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    rows = b''.join(b'\0' + b'\x80' * width for _ in range(height))
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def training(folder: pathlib.Path, *, steps: int = 40, ended: bool = True, config=CONFIG, **result) -> pathlib.Path:
    """A training whose loss falls as 2 / step, scored every ten steps."""
    lines = [{'step': s, 'split': 'train', 'loss': 2 / s, 'learning_rate': 0.1} for s in range(1, steps + 1)]
    lines += [{'step': s, 'split': 'test', 'loss': 3 / s, 'accuracy': 1 - 1 / s} for s in range(10, steps + 1, 10)]
    lines.sort(key=lambda line: line['step'])
    write(folder, 'metrics.jsonl', ''.join(json.dumps(line) + '\n' for line in lines))
    write(folder, 'config.json', config)
    write(folder, 'dataset.json', {'class_names': [str(i) for i in range(10)]})
    if ended:
        metrics = {'accuracy': 1 - 1 / steps, 'loss': 3 / steps}
        made = {'metrics': metrics, 'config': config, 'seed': 0, 'steps': steps, 'bad_examples': 0, **PROVENANCE}
        write(folder, 'result.json', made | result)
        (folder / 'confusion.png').write_bytes(png(600, 400))
    return folder


def folds(count: int = 4, examples: int = 40, seed: int = 0) -> list[fold_file.Fold]:
    """Plain folds."""
    order = np.random.default_rng(seed).permutation(examples)
    parts = [np.sort(part) for part in np.array_split(order, count)]
    return [
        fold_file.Fold(f'fold_{k}', 0, k, np.sort(np.concatenate(parts[:k] + parts[k + 1 :])), part)
        for k, part in enumerate(parts)
    ]


def cross_validation(folder: pathlib.Path, accuracies, *, divided=None, config=CONFIG, kind='stratified', ids=None):
    """A cross-validation with these accuracies on the folds."""
    divided = folds(len(accuracies)) if divided is None else divided
    ids = ids or [f'mnist/{i:04d}' for i in range(40)]
    metrics = [{'accuracy': a, 'loss': 1 - a} for a in accuracies]
    sizes = {'n_train': [len(f.train) for f in divided], 'n_test': [len(f.test) for f in divided]}
    summary = fold_statistics.summary(metrics, kind=kind, **sizes)
    ledger = Ledger(ids)
    for fold in divided:
        ledger.record(fold.name, 'fit', fold.train)
        ledger.record(fold.name, 'test', fold.test)
    summary['leakage'] = ledger.statement()
    document = fold_file.document(
        divided, ids, metrics=metrics, summary=summary, settings={'kind': kind, 'count': len(divided)}
    )
    write(folder, 'folds.json', document)
    write(folder, 'ledger.json', ledger.to_json())
    result = {'metrics': summary['mean'], 'config': config, 'steps': 100, 'bad_examples': 0, **PROVENANCE}
    write(folder, 'result.json', result)
    return folder
