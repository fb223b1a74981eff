"""What R-CNN, SPPNet and an ablation of Fast R-CNN solve for once the network is trained: support vector machines and
regressions of boxes on the features of regions; and detection by them.

It holds in memory, beside the network: the objects' features, at most `megabytes` of negatives' features for all
machines together and as much of examples for the regressions, all float32, and the features of few images' regions.

Letters: B images, R regions of each, N objects, C classes without the background.
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn.models.detectors.linear_heads import Said
from cnn.ops import backend, detections, matching
from cnn.ops import boxes as boxes_ops
from cnn.ops.detections import Detections
from cnn.tasks.base import Batch, Variables
from cnn.tasks.detection import Scene, clip_to_window
from cnn.tasks.region_ridge import Examples, RidgeOptions, solve
from cnn.tasks.region_svm import MachineOptions, Machines

PARTS = ('svm', 'boxes')
# By part: what of a region it reads, the layer of the head that it becomes, and the setting that the layer is there by.
_FEATURES = {'svm': 'features', 'boxes': 'pooled'}
_LAYERS = {'svm': ('svm', 'model.classifier=both'), 'boxes': ('bbox_pred', 'model.regress=True')}
# Features' mean norm is that of so many regions of so many images, as in the release; there they are drawn at random.
_NORM_IMAGES, _NORM_REGIONS = 200, 200
# Regions whose features are in memory at a time, unless one image has more.
_REGIONS = 2500


@dataclasses.dataclass(frozen=True)
class LinearOptions(MachineOptions, RidgeOptions):
    """A config's section `linear`: what both are solved with, and

    Attributes:
      classifier: whose scores are detections': 'svm' or 'softmax'. A machine's margin goes through a logistic function,
        so that scores lie between 0 and 1 and the boundary at 0.5; their order stays.
      regress: whether boxes are moved by the regressions.
      megabytes: see this file.
    """

    classifier: str = 'svm'
    regress: bool = True
    megabytes: int = 1024

    def __post_init__(self):
        MachineOptions.__post_init__(self)
        RidgeOptions.__post_init__(self)
        if self.classifier not in ('svm', 'softmax'):
            raise ValueError(f'config.linear.classifier is {self.classifier!r}; there are svm and softmax')
        if self.megabytes < 1:
            raise ValueError('config.linear.megabytes must be at least 1')


class Fitting:
    """Part of a detector that is given its regions. The detector has `linear`, `proposals(scene)`, and defines
    `describe`; its network's `head` has the layers `svm` and `bbox_pred`."""

    linear: LinearOptions
    # What it can solve for.
    parts = PARTS

    def describe(
        self, variables: Variables, scene: Scene, boxes: jax.Array, valid: jax.Array, pick: Callable[[Said], Any]
    ) -> Any:
        """Defined by the detector: what `pick` takes of what the network says in evaluation mode of `boxes`
        `[B, R, 4]`, of which `valid` `[B, R]` are real; its arrays `[n, ...]` of n regions come back `[B, R, ...]`."""
        raise NotImplementedError

    def judged(self, variables: Variables, scene: Scene) -> Detections:
        """Detections: every proposal as every class, moved, suppressed class by class."""
        found, by_machines, regress = self.proposals(scene), self.linear.classifier == 'svm', self.linear.regress

        def pick(said: Said):
            if by_machines:
                scores = jax.nn.sigmoid(said.margins)
            else:
                scores = jax.nn.softmax(said.logits, -1)[..., 1:]
            return (scores, said.deltas) if regress else (scores,)

        scores, *deltas = self.describe(variables, scene, found.boxes, found.valid, pick)
        boxes = found.boxes
        if regress:
            moved = boxes_ops.decode(deltas[0], boxes[:, :, None])
            boxes = clip_to_window(moved.reshape(moved.shape[0], -1, 4), scene.window).reshape(moved.shape)
        return detections.select(
            boxes,
            scores,
            iou_threshold=self.nms_threshold,
            score_threshold=self.score_threshold,
            count=self.max_detections,
            valid=found.valid,
        )

    def fit(
        self,
        parts: tuple[str, ...],
        variables: Variables,
        batches: Callable[[], Iterable[dict[str, np.ndarray]]],
        *,
        seed: int,
        note: Callable[[str], None],
    ) -> Variables:
        """Variables with the layers of `parts` ('svm', 'boxes') solved for on every training image, not augmented.

        Args:
          batches: goes once through the training images, in the same order each time.
          note: is told of what was done, a line at a time.

        Raises:
          ValueError: a part that there is not, or that the network has no layer for; no object in any image.
        """
        self._check(parts, variables)
        variables = jax.device_put(variables)
        images = _Images(self, variables, batches, parts)
        objects, norms = images.objects(seed)
        if not any(map(len, objects)):
            raise ValueError('no training image has an object to learn from')
        note(f'{sum(map(len, objects))} objects; the mean norms of features are '
             + ' and '.join(f'{norm:.3g} ({part})' for part, norm in norms.items()))  # fmt: skip
        scale = {part: self.linear.norm / max(norm, 1e-12) for part, norm in norms.items()}
        room, solved = self.linear.megabytes * 2**20, {}
        if 'svm' in parts:
            positives = [own * np.float32(scale['svm']) for own in objects]
            machines = Machines(positives, self.linear, seed=seed, room=room)
        if 'boxes' in parts:
            examples = Examples(images.depth, seed=seed, room=room)
        # Machines may want several rounds; regressions see everything in the first.
        for epoch in range(self.linear.epochs if 'svm' in parts else 1):
            for i, one in enumerate(images.regions()):
                if 'svm' in parts:
                    machines.see(i, one['features'] * np.float32(scale['svm']), one['overlap'])
                if 'boxes' in parts and not epoch:
                    near = one['iou'] > self.linear.overlap
                    examples.add(one['pooled'][near], one['targets'][near], one['label'][near])
        if 'svm' in parts:
            machines.finish()
            solved['svm'] = (machines.kernel * np.float32(scale['svm']), machines.bias)
            note(f'{machines.solved} support vector machines solved for, {machines.unconverged} of them not to the end')
        if 'boxes' in parts:
            note(f'{examples.count} of {examples.seen} regions for the regressions of boxes')
            solved['bbox_pred'] = self._regressions(examples, scale['boxes'])
        head = {**variables['params']['head'], **{n: {'kernel': k, 'bias': b} for n, (k, b) in solved.items()}}
        return {**variables, 'params': {**variables['params'], 'head': head}}

    def _regressions(self, examples: Examples, scale: float) -> tuple[np.ndarray, np.ndarray]:
        kernels, biases = [], []
        for label in range(self.num_classes):
            features, targets = examples.of(label)
            kernel, bias = solve(features * np.float32(scale), targets, self.linear.ridge)
            kernels.append(kernel * np.float32(scale))
            biases.append(bias)
        return np.concatenate(kernels, 1), np.concatenate(biases)

    def _check(self, parts, variables) -> None:
        for part in parts:
            if part not in self.parts:
                known = ', '.join(self.parts)
                raise ValueError(f'{type(self).__name__} has nothing to fit by the name {part!r}; there are {known}')
            layer, setting = _LAYERS[part]
            if layer not in variables['params']['head']:
                raise ValueError(f'the network has no layer for {part!r}; set config.{setting}')


class _Images:
    """The training images' regions and their features, image by image, as NumPy arrays."""

    def __init__(self, task: Any, variables: Variables, batches: Callable, parts: tuple[str, ...]):
        self._task, self._variables, self._batches, self._parts = task, variables, batches, parts
        options = backend.compiler_options()
        self._of_objects = jax.jit(self._objects, compiler_options=options)
        self._of_all = jax.jit(self._all, compiler_options=options)
        self.depth = self._at_once = 0

    def objects(self, seed: int) -> tuple[list[np.ndarray], dict[str, float]]:
        """The features `[n, D]` of the objects of each class, and the mean norms by part."""
        rng, found = np.random.default_rng(seed), [[] for _ in range(self._task.num_classes)]
        norms, seen = {part: [] for part in self._parts}, 0
        for batch in self._parts_of_batches():
            real = batch['mask'] > 0
            if seen < _NORM_IMAGES:
                said = jax.device_get(self._of_all(self._variables, batch))
                for i in np.flatnonzero(real)[: _NORM_IMAGES - seen]:
                    rows = np.flatnonzero(said['valid'][i])
                    rows = rng.permutation(rows)[:_NORM_REGIONS]
                    for part, own in norms.items():
                        own.append(np.linalg.norm(said[_FEATURES[part]][i, rows], axis=-1))
                seen += int(real.sum())
                self.depth = said['pooled'].shape[-1] if 'boxes' in self._parts else 0
            features, valid = jax.device_get(self._of_objects(self._variables, batch))
            for i, j in zip(*np.nonzero(valid & real[:, None]), strict=True):
                found[int(batch['box_labels'][i, j])].append(features[i, j])
        depth = features.shape[-1]
        stacked = [np.stack(own) if own else np.zeros((0, depth), np.float32) for own in found]
        means = {part: float(np.concatenate(own).mean()) if own else 0.0 for part, own in norms.items()}
        return stacked, means

    def regions(self):
        """For each image a dict of arrays of its real regions, its objects' own boxes among them."""
        for batch in self._parts_of_batches():
            said = jax.device_get(self._of_all(self._variables, batch))
            for i in np.flatnonzero(batch['mask'] > 0):
                valid = said['valid'][i]
                yield {name: value[i][valid] for name, value in said.items()}

    def _parts_of_batches(self):
        """Batches of so few images that their regions are some thousand at most, or of one."""
        for batch in self._batches():
            if not self._at_once:
                said = jax.eval_shape(self._all, self._variables, batch)['valid']
                images, regions = said.shape
                fit = max(_REGIONS // max(regions, 1), 1)
                self._at_once = max(n for n in range(1, images + 1) if images % n == 0 and n <= fit)
            for start in range(0, len(batch['mask']), self._at_once):
                yield {name: value[start : start + self._at_once] for name, value in batch.items()}

    def _scene(self, batch: Batch) -> Scene:
        return self._task.scene(batch)._replace(**self._task.objects(batch, batch['boxes']))

    def _objects(self, variables, batch):
        scene = self._scene(batch)
        features = self._task.describe(variables, scene, scene.boxes, scene.valid, lambda said: said.features)
        return features, scene.valid

    def _all(self, variables, batch):
        scene = self._scene(batch)
        found = self._task.proposals(scene)
        boxes = jnp.concatenate([scene.boxes, found.boxes], 1)
        valid = jnp.concatenate([scene.valid, found.valid], 1)
        pick = partial(_picked, names=[_FEATURES[part] for part in self._parts])
        said = self._task.describe(variables, scene, boxes, valid, pick)
        iou = boxes_ops.iou(boxes, scene.boxes)
        # Whatever lies on a crowd or a difficult object of a class is no example against it.
        near = jnp.where(scene.crowd[:, None], boxes_ops.covered(boxes, scene.boxes), iou)
        of_class = jax.nn.one_hot(scene.labels, self._task.num_classes)
        known = jnp.where(scene.valid[:, None], iou, 0.0)
        best = known.argmax(-1)
        return said | {
            'valid': valid,
            'overlap': (near[..., None] * of_class[:, None]).max(2),
            'iou': known.max(-1),
            'label': matching.take(scene.labels, best),
            'targets': boxes_ops.encode(matching.take(scene.boxes, best), boxes),
        }


def _picked(said: Said, names: list[str]) -> dict[str, jax.Array]:
    return {name: getattr(said, name) for name in names}
