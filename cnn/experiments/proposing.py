"""Regions for detectors that are given theirs: what `input.proposals` names finds them, once for every image."""

import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Generator, Iterable
from typing import Any

import cv2
import jax
import numpy as np

from cnn.experiments import config_file
from cnn.experiments.errors import UserError
from cnn.training import processes
from input_pipeline import placement as placements
from input_pipeline import prepared, proposals
from input_pipeline.decode import decode
from input_pipeline.selective_search import SelectiveSearch
from input_pipeline.source import UnreadableError

SELECTIVE_SEARCH = 'selective_search'
# Sections and fields of a run that decide what its network proposes, beside its variables.
_DECIDE = ('model', 'rpn', 'canvas', 'image_size', 'precision')
# Images that a network looks at together.
_BATCH = 4


def finder(config, network: Callable[[Any, pathlib.Path], Any]) -> proposals.Finder:
    """What finds the proposals of a config with `input.proposals`.

    Args:
      network: from the config of a run and its workdir to its `ByNetwork`.
    """
    where = config.input.proposals
    if where != SELECTIVE_SEARCH:
        return network(*recorded(config))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    how = {'name': SELECTIVE_SEARCH, 'version': f'opencv {cv2.__version__}'}
    return proposals.Searching(SelectiveSearch(**config.input.search), processes=config.input.threads or cores, **how)


def proposed(config, source, network: Callable[[Any, pathlib.Path], Any]) -> Any:
    """A source with the proposals of its images: beside prepared data, or in the workdir of the run that proposes.

    Args:
      network: as in `finder`.
    """
    found, where = finder(config, network), pathlib.Path(config.input.proposals)
    root = prepared.root_folder(config.data_dir) if config.input.proposals == SELECTIVE_SEARCH else where
    return proposals.found(source, found, root / 'proposals', note=_note)


def _note(text: str) -> None:
    if processes.is_first():
        print(text, file=sys.stderr, flush=True)


def recorded(config) -> tuple[Any, pathlib.Path]:
    """The config of the run whose workdir `input.proposals` names, proposing as many as are asked for; the workdir.

    Raises:
      UserError: there is no such run.
    """
    workdir = pathlib.Path(config.input.proposals)
    try:
        fields = json.loads((workdir / 'config.json').read_text())
    except (OSError, ValueError):
        raise UserError(
            f'config.input.proposals={config.input.proposals!r} is neither {SELECTIVE_SEARCH} nor the workdir of a run'
        ) from None
    run = config_file.recorded(fields)
    if 'rpn' not in run:
        raise UserError(f'config.input.proposals: the run in {workdir} proposes no regions; name one of Faster R-CNN')
    # As the authors' release proposes to Fast R-CNN: as many as in training, not as few as in a test.
    run.rpn.test_after = config.input.max_proposals
    run.rpn.test_before = max(run.rpn.test_before, run.rpn.train_before)
    return run, workdir


class ByNetwork:
    """A finder that asks a region proposal network.

    Args:
      run: the config of the run that trained it, for what decides.
      task: with `propose`; `variables`: its network's.
      transform: puts an image onto the canvas that the network sees.
    """

    name = 'network'

    def __init__(self, run, task: Any, variables: Any, transform: Any):
        self._task, self._variables, self._transform = task, variables, transform
        self._decides = json.dumps([{name: run[name] for name in _DECIDE}, task.mean, task.std], default=dict)
        self._propose = jax.jit(task.propose)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self._decides.encode())
        for path, leaf in jax.tree_util.tree_leaves_with_path(self._variables):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()

    def find(self, images: Iterable[bytes | np.ndarray]) -> Generator[np.ndarray]:
        height, width = placements.sides(self._transform.image_size)
        pixels, places = np.zeros((_BATCH, height, width, 3), np.uint8), []
        for image in images:
            try:
                places.append(self._transform(decode(image), None, pixels[len(places)]))
            except UnreadableError:
                places.append(None)
            if len(places) == _BATCH:
                yield from self._found(pixels, places)
                places = []
        if places:
            yield from self._found(pixels, places)

    def _found(self, pixels: np.ndarray, places: list) -> Generator[np.ndarray]:
        blank = self._task.dummy_batch(1)
        batch = {name: np.repeat(array, len(pixels), 0) for name, array in blank.items()}
        batch |= {'image': pixels, 'row': np.arange(len(pixels), dtype=np.int32)}
        rows = [blank['placement'][0] if place is None else place for place in places]
        batch['placement'] = np.float32(rows + rows[-1:] * (len(pixels) - len(rows)))
        boxes, valid = (np.asarray(array) for array in self._propose(self._variables, batch))
        for place, own, real in zip(places, boxes, valid, strict=False):
            if place is None:
                yield np.zeros((0, 4), np.float32)
                continue
            there = placements.boxes_to_source(own[real], place)
            yield (there / np.tile([place.width, place.height], 2)).astype(np.float32)
