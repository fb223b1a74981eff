"""Checkpoints that survive: Orbax's CheckpointManager behind a wrapper that trusts nothing it reads.

What the wrapper adds, because Orbax 0.12 was seen to lack it: a checksum for each leaf (a flipped bit restores as wrong
numbers otherwise), falling back to the previous good step, a metric of NaN that never counts as best, the latest and
the best both kept, host arrays that restore on any number of devices, a fingerprint of what determines the run, errors
of one line. The lock on the workdir is in lock.py, the SIGTERM handler in interrupt.py.

The file is longer than most: saving, keeping and reading share one list of known steps.
"""

import json
import logging
import math
import pathlib
import shutil
import time
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import PreservationPolicy

from cnn.training import fingerprint as fingerprints
from cnn.training import leaves, log, processes, step_folder

_log = logging.getLogger(__name__)
ASIDE = 'set_aside'


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, or none of those that exist can be read. One line."""


def _not_orbax_error(record: logging.LogRecord) -> bool:
    """Orbax logs a failed save as five chained tracebacks; the wrapper raises it, in one line, with its cause."""
    return record.levelno < logging.ERROR or '/orbax/' not in record.pathname.replace('\\', '/')


class _Policy(PreservationPolicy):
    """Hands Orbax's question which steps to keep to the wrapper, which knows the metrics."""

    def __init__(self, preserve):
        self._preserve = preserve

    def should_preserve(self, checkpoints, *, context):
        kept = self._preserve([info.step for info in checkpoints])
        return [info.step in kept for info in checkpoints]


class Checkpoints:
    """The checkpoints of one run in one folder, on a disk that all its processes share.

    Args:
      folder: where the steps are kept, `folder/STEP`; created at the first save, so reading needs no right to write.
      keep: how many of the latest steps stay; 2 or more leave something to fall back on when the newest is damaged.
      best_metric: name of the metric whose best step stays as well; '' keeps no best.
      best_mode: 'max' or 'min'. A step without the metric, or with NaN or infinity, is never best; of equals the
        first is.
      fingerprint: what determines the run, nested dicts allowed; stored at the first save. None: not compared.
      free_keys: keys of the fingerprint that may change (`epochs`); a key also frees everything below it.

    Raises:
      ValueError: the folder holds steps of a run with another fingerprint; the message lists the differing keys.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        *,
        keep: int = 1,
        best_metric: str = 'accuracy',
        best_mode: str = 'max',
        fingerprint: dict[str, Any] | None = None,
        free_keys: Iterable[str] = (),
    ):
        if keep < 1:
            raise ValueError(f'checkpoint.keep is {keep}: at least the latest step must be kept, so 1 or more')
        if best_mode not in ('max', 'min'):
            raise ValueError(f"checkpoint.best_mode is {best_mode!r}: choose 'max' or 'min'")
        self.folder = pathlib.Path(folder).absolute()
        self._keep, self._best_metric, self._sign = keep, best_metric, 1 if best_mode == 'max' else -1
        self._fingerprint = None if fingerprint is None else fingerprints.normalise(fingerprint)
        self._fingerprint_written = False
        self._manager: ocp.CheckpointManager | None = None
        self._saving: int | None = None
        self._restored: int | None = None
        self._records: dict[int, dict[str, Any]] = {}
        self._bad: dict[int, str] = {}
        self._distrusted: dict[int, str] = {}
        self._scan()
        self._compare_fingerprint(tuple(free_keys))

    # Looking

    def steps(self) -> list[int]:
        """Steps that look complete, ascending; their arrays are checked when they are restored."""
        return sorted(self._records)

    def latest_step(self) -> int | None:
        """The newest step that looks complete."""
        return max(self._records, default=None)

    def best_step(self) -> int | None:
        """The step with the best finite value of the metric, the earliest of equals; None where no step has one."""
        return self._best(self._records)

    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The newest step's leaves by name, a template that fits whatever was saved; empty where there is no step."""
        latest = self.latest_step()
        saved = {} if latest is None else self._records[latest]['leaves']
        return {name: jax.ShapeDtypeStruct(leaf['shape'], leaves.dtype(leaf['dtype'])) for name, leaf in saved.items()}

    def metrics(self, step: int) -> dict[str, float]:
        """The metrics saved with one of `steps()`; NaN comes back as NaN."""
        return dict(self._records[step]['metrics'])

    def _best(self, steps: Iterable[int]) -> int | None:
        score = {}
        for step in sorted(steps):
            value = self._records[step]['metrics'].get(self._best_metric)
            if isinstance(value, int | float) and math.isfinite(value):
                score[step] = self._sign * value
        return max(score, key=score.get, default=None)

    def _preserve(self, steps: list[int]) -> set[int]:
        known = sorted(step for step in steps if step in self._records)
        return {*known[-self._keep :], self._best(known)} | {step for step in steps if step not in self._records}

    def _scan(self) -> None:
        """Reads the small record of each step folder; the rest of a folder is only read by `restore`."""
        self._records, self._bad = {}, {}
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if not (path.name.isdecimal() and str(int(path.name)) == path.name):
                continue
            step = int(path.name)
            try:
                if step in self._distrusted:
                    raise step_folder.Damaged(self._distrusted[step])
                self._records[step] = step_folder.read(path)
            except step_folder.Damaged as problem:
                self._bad[step] = str(problem)

    def _compare_fingerprint(self, free_keys: tuple[str, ...]) -> None:
        path = self.folder / 'fingerprint.json'
        if self._fingerprint is None or not self._records:
            return
        try:
            old = json.loads(path.read_text())
        except (OSError, ValueError):
            _log.warning('%s cannot be read: cannot tell whether its checkpoints belong to this config', path)
            return
        changed = fingerprints.differences(old, self._fingerprint, free_keys)
        if changed:
            raise ValueError(
                f'{self.folder} holds checkpoints of a run with other settings: {"; ".join(changed)}. '
                'Give another --workdir, or the old values to go on with that run'
            )

    # Saving

    def save(self, step: int, tree: Any, metrics: dict[str, Any] | None = None, *, force: bool = False) -> bool:
        """Saves a pytree of arrays; returns once the values are copied, the writing goes on behind.

        All processes call it. A step that stands with the same arrays is not written again; new metrics are then
        entered in its record beside the old ones.

        Args:
          step: not before a good step that stands, except with `force` or after restoring an earlier step: those
            folders are then set aside, not deleted. Damaged ones are always set aside.
          tree: pytree of JAX or NumPy arrays or scalars.
          metrics: metric name to value; those of process 0 count, and of them the scalars.

        Returns:
          Whether a new checkpoint is being written.

        Raises:
          ValueError: a later step, or this one with other arrays, stands already.
          CheckpointError: this or the save before failed (disk full, no right to write); the older steps are intact.
        """
        self.wait()
        step = int(step)
        arrays = {name: leaves.to_host(leaf) for name, leaf in leaves.flatten(tree).items()}
        try:
            plan = processes.from_first(lambda: self._plan(step, arrays, metrics, force))
        except OSError as error:
            raise self._failed(step, error) from error
        if plan is not None:
            self._restored, self._distrusted = None, {}
        self._scan()
        if plan is None:
            return False
        try:
            if self._manager is None:
                self._manager = self._open()
            else:
                self._manager.reload()
            # Orbax refuses arrays of size zero; the record alone restores those.
            state = {name: array for name, array in arrays.items() if array.size}
            self._records[step] = plan
            self._saving = step
            items = {'record': ocp.args.JsonSave(step_folder.seal(plan))}
            if state:
                items['state'] = ocp.args.PyTreeSave(state)
            self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        except Exception as error:
            raise self._failed(step, error) from error
        return True

    def _plan(
        self, step: int, arrays: dict[str, np.ndarray], metrics: dict[str, Any] | None, force: bool
    ) -> dict[str, Any] | None:
        """Makes room for the step and returns its record; None where there is nothing to write. Process 0 only."""
        record = {
            'step': step,
            'metrics': {name: float(value) for name, value in (metrics or {}).items() if np.ndim(value) == 0},
            'leaves': {name: leaves.describe(array) for name, array in arrays.items()},
        }
        self._scan()
        old = self._records.get(step)
        if old and old['leaves'] == record['leaves']:
            record['metrics'] = {**old['metrics'], **record['metrics']}
            if json.dumps(old, sort_keys=True) != json.dumps(record, sort_keys=True):
                log.write_json(step_folder.path(self.folder / str(step)), step_folder.seal(record))
            return None
        standing = sorted(other for other in self._records if other >= step)
        rewound = self._restored is not None and standing and self._restored < standing[0]
        if standing and not force and not rewound:
            raise ValueError(
                f'step {step} is to be saved in {self.folder}, where step {standing[-1]} stands already: '
                'restore a step first, use another workdir, or pass force=True to set the old steps aside'
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        for other in standing + sorted(self._bad):
            self._set_aside(other)
        if self._fingerprint is not None and not self._fingerprint_written:
            log.write_json(self.folder / 'fingerprint.json', self._fingerprint)
            self._fingerprint_written = True
        return record

    def _set_aside(self, step: int) -> None:
        target = self.folder / ASIDE
        target.mkdir(exist_ok=True)
        number = 0
        while (target / f'{step}-{number}').exists():
            number += 1
        (self.folder / str(step)).rename(target / f'{step}-{number}')
        why = self._bad.get(step, 'the run went on from an earlier step')
        _log.warning('moved checkpoint %s to %s (%s)', self.folder / str(step), target / f'{step}-{number}', why)

    def _open(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_Policy(self._preserve), cleanup_tmp_directories=True, save_root_metadata=False
        )
        logging.getLogger('absl').addFilter(_not_orbax_error)
        handlers = {'state': step_folder.handler(), 'record': ocp.JsonCheckpointHandler()}
        return ocp.CheckpointManager(self.folder, options=options, item_handlers=handlers)

    def _failed(self, step: int, error: BaseException) -> CheckpointError:
        """Forgets the step, gives its space back and says in one line what happened."""
        self._saving = None
        if processes.is_first():
            # Orbax's other writers may still be at it, and put a file into a folder that is being emptied.
            for _ in range(100):
                left = list(self.folder.glob(f'{step}.orbax-checkpoint-tmp*'))
                if not left:
                    break
                for path in left:
                    shutil.rmtree(path, ignore_errors=True)
                time.sleep(0.02)
        self._scan()
        last = self.latest_step()
        intact = 'no earlier checkpoint exists' if last is None else f'step {last} is intact'
        return CheckpointError(f'cannot save step {step} in {self.folder}: {step_folder.reason(error)}; {intact}')

    def wait(self) -> None:
        """Blocks until the save under way is on the disk; raises CheckpointError where it failed."""
        if self._manager is None or self._saving is None:
            return
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failed(self._saving, error) from error
        self._saving = None
        self._scan()

    def close(self) -> None:
        """Waits, and ends Orbax's threads. The object may still restore."""
        try:
            self.wait()
        finally:
            if self._manager is not None:
                self._manager.close()
                self._manager = None
                logging.getLogger('absl').removeFilter(_not_orbax_error)

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # Restoring

    def restore(
        self, template: Any, step: int | None = None, *, subset: bool = False
    ) -> tuple[int, Any, dict[str, float]] | None:
        """Reads the newest good step, or the given one. All processes call it.

        A step with a damaged or missing file, or a leaf that does not match its checksum, is passed over with a
        warning that names it; folders that are no checkpoint are ignored.

        Args:
          template: pytree with the wanted structure, its leaves arrays or `jax.ShapeDtypeStruct`.
          step: this step and no other.
          subset: the template has some of the top-level parts of what was saved; the others are left out.

        Returns:
          `(step, tree, metrics)`, the tree's leaves NumPy arrays; None where the folder holds no checkpoint.

        Raises:
          ValueError: the saved tree is another one (the message lists missing, unexpected and mismatched names), or
            `step` is absent.
          CheckpointError: checkpoints exist and none is readable, or the given one is not.
        """
        self.wait()
        self._scan()
        wanted = leaves.flatten(template)
        parts = {leaves.part(name) for name in wanted}
        tried = []
        for candidate in processes.from_first(lambda: self._candidates(step)):
            arrays, problem = None, self._bad.get(candidate)
            if candidate in self._records:
                record = self._records[candidate]
                saved = record['leaves']
                if subset:
                    saved = {name: leaf for name, leaf in saved.items() if leaves.part(name) in parts}
                wrong = leaves.mismatches(wanted, saved)
                if wrong:
                    raise ValueError(f'{self.folder / str(candidate)} does not fit this model: {"; ".join(wrong)}')
                try:
                    arrays = step_folder.read_state(self.folder / str(candidate), record)
                except step_folder.Damaged as error:
                    problem = str(error)
            if processes.all_agree(arrays is not None):
                self._restored = candidate
                return candidate, leaves.unflatten(template, arrays), dict(record['metrics'])
            problem = problem or 'not every process can read it'
            _log.warning('checkpoint %s is damaged and passed over: %s', self.folder / str(candidate), problem)
            self._distrusted[candidate] = problem
            tried.append(f'{candidate} ({problem})')
        if tried:
            raise CheckpointError(
                f'no readable checkpoint in {self.folder}: {"; ".join(tried)}. Delete or move it to start anew'
            )
        return None

    def _candidates(self, step: int | None) -> list[int]:
        if step is None:
            foreign = {other for other, problem in self._bad.items() if problem == step_folder.FOREIGN}
            for other in sorted(foreign):
                _log.warning('%s is ignored: %s', self.folder / str(other), step_folder.FOREIGN)
            return sorted((self._records.keys() | self._bad.keys()) - foreign, reverse=True)
        if step not in self._records and step not in self._bad:
            there = ', '.join(map(str, self.steps())) or 'none'
            raise ValueError(f'step {step} is not in {self.folder}; steps there: {there}')
        return [step]
