"""`--mode=export`: a trained network as a file that runs without this project: StableHLO and ONNX, both checked.

The program takes raw images, uint8, of one size, any number at once: normalisation is inside, and so is what follows
the network (softmax, the likeliest class of each pixel, suppression). `export.json` says how an image comes to that
size, what goes in and comes out, and how far each file's answers on real images were from the model's own.
"""

import dataclasses
import hashlib
import pathlib
from typing import Any

import jax
import numpy as np

import input_pipeline
from cnn.experiments import build, detectors, initialise
from cnn.experiments.errors import RunFailed, UserError, nearest
from cnn.export import agreement, onnx_model, stablehlo
from cnn.export.program import Input, Program
from cnn.training import log, provenance
from cnn.training.parallel import Replicas
from input_pipeline import placement as placements
from input_pipeline.source import Selection

FORMATS = {'stablehlo': stablehlo, 'onnx': onnx_model}
# Each task's answer, in the order of the files.
OUTPUTS = {
    'classification': ('logits', 'probabilities'),
    'segmentation': ('segmentation', 'probability'),
    'detection': ('boxes', 'scores', 'labels', 'source_boxes'),
}
MEANINGS = {
    'image': 'upright RGB images, 0 to 255',
    'placement': 'y_scale, x_scale, y_offset, x_offset, height, width: row y of an upright image of so many '
    'pixels is row y * y_scale + y_offset of the input',
    'proposals': 'regions x0, y0, x1, y1 in pixels of the input, best first; zeros for none',
    'logits': 'float32 [batch, C]',
    'probabilities': 'float32 [batch, C], softmax of the logits',
    'segmentation': 'uint8 [batch, H, W], the likeliest class of each pixel',
    'probability': 'float32 [batch, H, W], of that class',
    'boxes': 'float32 [batch, D, 4], x0, y0, x1, y1 in pixels of the input',
    'scores': 'float32 [batch, D], highest first',
    'labels': 'int32 [batch, D]; -1 for padding',
    'source_boxes': 'float32 [batch, D, 4], the boxes in pixels of the upright image, by its placement',
}
HOW = {
    'CentreCrop': 'the shorter side resized to `resize` pixels, then the central square of `image_size`',
    'Letterbox': 'as large as it fits, its shape kept, in the upper left corner; `fill` beside it',
    'PadOrCrop': 'pixels as they are: the centre of what is larger, what is smaller in the upper left corner on `fill`',
    'ShortestSide': 'the shorter side to `shortest` unless the longer would pass `longest`, in the upper left corner; '
    '`fill` beside it',
    'Stretch': 'both sides to those of `image_size`, whatever the shape',
}
# Images that a file is checked on, all at once and the first alone: that the batch is any size is then seen.
CHECKED = 5


def run(config, workdir: pathlib.Path, flags) -> dict[str, Any]:
    """Writes the files of `--formats` (by default all that the task can have) and `export.json`, which is returned.

    Raises:
      UserError: a task or format that is not exported, a missing package, no images to check with.
      RunFailed: a format cannot express the network, or a file's answers are not the model's.
    """
    if config.task not in OUTPUTS:
        raise UserError(f'--mode=export is for {", ".join(OUTPUTS)}, not for {config.task}')
    formats = _formats(flags.formats, config.task)
    config = config.copy_and_resolve_references()
    if config.precision == 'auto':
        # A file for every platform; bfloat16 only where it was asked for.
        config.precision = 'float32'
    info = build.info(config, workdir)
    task = build.task(config, info, Replicas(1))
    module = build.model(config, build.outputs(config, info))
    variables, steps = initialise.trained(config, workdir, task, module)
    if config.task == 'detection':
        config, variables = detectors.truncated(config, variables)
        task = build.task(config, info, Replicas(1))
    batch, ids = _images(config, flags.images)
    program = _program(config, task, variables, batch)
    want = program.reference(batch)
    workdir.mkdir(parents=True, exist_ok=True)
    document = _document(config, info, task, program, steps, ids)
    failures = []
    for name in formats:
        document['formats'][name], failure = _export(FORMATS[name], program, workdir, batch, want, config.precision)
        failures += [failure] if failure else []
    log.write_json(workdir / 'export.json', document)
    written = [entry['file'] for entry in document['formats'].values() if 'file' in entry]
    print(f'{workdir}: {", ".join([*written, "export.json"])}')
    if failures:
        raise RunFailed('; '.join(failures))
    return document


def _formats(given: list[str], task: str) -> list[str]:
    for name in given:
        if name not in FORMATS:
            raise UserError(f'--formats={name}: unknown format; {nearest(name, FORMATS)}')
    if not given and task == 'detection':
        print("a detector's loops are not known to the converter to ONNX: StableHLO alone")
        return ['stablehlo']
    given = given or list(FORMATS)
    if 'onnx' in given:
        onnx_model.check_installed()
    return [name for name in FORMATS if name in given]


def _images(config, paths: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """A batch of real images as the network gets them, and what they are called: the user's, else the split's first."""
    if paths:
        return _own_images(config, paths)
    source = build.source(config, build.evaluation_split(config))
    few = Selection(source, np.arange(min(CHECKED, len(source))))
    batch = next(iter(build.plain_batches(config, few)))
    return batch, [few.example_id(int(i)) for i in batch['index']]


def _own_images(config, paths: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    found = list(input_pipeline.read_images(paths))[:CHECKED]
    transform = build.evaluation_transform(config)
    pixels = np.empty((len(found), *placements.sides(transform.image_size), 3), np.uint8)
    places = [transform(image, None, out) for (_, image), out in zip(found, pixels, strict=True)]
    return {'image': pixels, 'placement': np.float32(places)}, [str(path) for path, _ in found]


def _program(config, task: Any, variables: dict[str, Any], batch: dict[str, np.ndarray]) -> Program:
    inputs = [Input('image', 'uint8', batch['image'].shape[1:], MEANINGS['image'])]
    if config.task == 'detection':
        inputs.append(Input('placement', 'float32', (6,), MEANINGS['placement']))
    if 'proposals' in batch:
        inputs.append(Input('proposals', 'float32', batch['proposals'].shape[1:], MEANINGS['proposals']))

    def predict(given):
        count = given['image'].shape[0]
        rows = jax.numpy.arange(count)
        return task.predict(variables, {'mask': jax.numpy.ones(count), 'row': rows, 'index': rows, **given})

    return Program(predict, inputs, OUTPUTS[config.task])


def _export(form: Any, program: Program, workdir, batch, want, precision: str) -> tuple[dict[str, Any], str]:
    """Writes one file and runs it; what `export.json` says of it, and what went wrong, '' for nothing."""
    path = workdir / form.FILE
    path.unlink(missing_ok=True)
    try:
        form.write(program, path)
        loaded = form.Loaded(path, program)
        side = max(batch['image'].shape[1:3])
        found = agreement.compare(want, loaded(batch), precision=precision, side=side)
        first = agreement.compare({n: v[:1] for n, v in want.items()}, loaded({n: v[:1] for n, v in batch.items()}),
                                  precision=precision, side=side)  # fmt: skip
    except onnx_model.NotExpressible as error:
        path.unlink(missing_ok=True)
        said = f'{form.FILE} cannot be made of this network: {error}; leave it out with --formats'
        return {'error': str(error)}, said
    content = path.read_bytes()
    entry = {'file': form.FILE, 'bytes': len(content), 'sha256': hashlib.sha256(content).hexdigest(),
             'on_all': found, 'on_the_first_alone': first}  # fmt: skip
    wrong = agreement.disagreement(found) or agreement.disagreement(first)
    if wrong:
        path.rename(path.with_suffix(path.suffix + '.wrong'))
        entry['file'] += '.wrong'
        return entry, f'{path.name}.wrong does not say what the model says: {wrong}'
    images = f'{len(batch["image"])} images ({_said(found)})'
    print(f'{path.name}: {len(content):,} bytes, agrees with the model on {images}')
    return entry, ''


def _said(found: dict[str, dict[str, Any]]) -> str:
    def one(name, entry):
        if 'matched' in entry:
            return f'{entry["matched"]} of {entry["of"]} {name} the same'
        if 'share_equal' in entry:
            return f'{name} equal in {entry["share_equal"]:.2%}'
        return f'{name} to {entry["largest_difference"]:.1e}'

    return ', '.join(one(name, entry) for name, entry in found.items())


def _document(config, info, task, program: Program, steps: int, ids: list[str]) -> dict[str, Any]:
    names = info.mask_names if config.task == 'segmentation' else info.class_names
    return {
        'task': config.task,
        'inputs': [i._asdict() | {'shape': ['batch', *i.shape]} for i in program.inputs],
        'outputs': {name: MEANINGS[name] for name in program.outputs},
        'preparation': _preparation(config),
        'normalisation': {'inside': True, 'mean': list(map(float, task.mean)), 'std': list(map(float, task.std)),
                          'of': 'pixels divided by 255'},
        'classes': list(names),
        'precision': config.precision,
        'parameters_of_step': steps,
        'checked_on': ids,
        'formats': {},
        'config': config.to_dict(),
        'versions': provenance.versions(),
        'commit': provenance.commit(),
    }  # fmt: skip


def _preparation(config) -> dict[str, Any]:
    """How an upright image comes to the input's size: the transform and its numbers."""
    transform = build.evaluation_transform(config)
    fields = {name: value for name, value in dataclasses.asdict(transform).items() if name != 'draws'}
    kind = type(transform).__name__
    return {'transform': kind, **fields, 'meaning': HOW.get(kind, '')}
