"""Exported networks, run as anyone would run them: StableHLO by JAX alone, ONNX by onnxruntime."""

import hashlib
import json
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from cnn import models, weights
from cnn.experiments import build, export
from cnn.experiments.errors import RunFailed, UserError
from cnn.export import agreement, onnx_model, stablehlo
from cnn.export.program import Input, Program
from cnn.tasks.classification import Classification
from cnn.training.parallel import Replicas
from configs import faster_rcnn, fcn, forecast, resnet, yolo
from tests.models import networks

CLASSIFIERS = {'resnet', 'alexnet', 'vgg-bn-conv', 'googlenet', 'squeezenet', 'zf', 'darknet', 'densenet-bc'}


def flags(*formats, images=()):
    return types.SimpleNamespace(formats=list(formats), images=list(images))


def with_weights(config, folder):
    """The config with fresh weights in a file: nothing needs to be trained to be exported."""
    info = build.source(config, build.evaluation_split(config)).info
    module = build.model(config, build.outputs(config, info))
    task = build.task(config, info, Replicas(1))
    variables = jax.tree.map(np.asarray, task.init(jax.random.key(0), task.dummy_batch(config.image_size)))
    config.init_from = str(folder / 'weights.safetensors')
    weights.save(config.init_from, module, variables)
    return config


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """A narrow ResNet-8 of digits, and the folder of its export."""
    folder = tmp_path_factory.mktemp('small')
    config = resnet.get_config('')
    config.model.width = 4
    config.evaluation.split = 'test[:12]'
    config = with_weights(config, folder)
    document = export.run(config, folder / 'run', flags())
    return config, folder / 'run', document


def test_every_classifier_is_a_program_of_any_batch_in_both_formats(tmp_path):
    zoo = {key.split('-')[0] for key in networks.TINY}
    assert {key.split('-')[0] for key in CLASSIFIERS} == zoo, 'a network of the zoo is not exported here'
    rng = np.random.default_rng(0)
    for key in sorted(CLASSIFIERS):
        name, sizes, size = networks.TINY[key]
        module = models.create(name, num_classes=3, **sizes)
        task = Classification(module, num_classes=3, mean=(0.5,) * 3, std=(0.2,) * 3)
        variables = jax.tree.map(np.asarray, task.init(jax.random.key(0), task.dummy_batch(size)))
        images = rng.integers(0, 256, (3, size, size, 3)).astype(np.uint8)
        inputs = [Input('image', 'uint8', images.shape[1:], '')]
        program = Program(lambda b, t=task, v=variables: t.predict(v, b), inputs, ('logits', 'probabilities'))
        want = program.reference({'image': images})
        for form in (stablehlo, onnx_model):
            form.write(program, tmp_path / form.FILE)
            loaded = form.Loaded(tmp_path / form.FILE, program)
            # StableHLO compiles for each size of the batch: once is enough here, the file below is run with two.
            for count in (3, 1) if form is onnx_model else (3,):
                part = {n: v[:count] for n, v in want.items()}
                got = loaded({'image': images[:count]})
                found = agreement.compare(part, got, precision='float32', side=size)
                assert agreement.disagreement(found) == '', (key, form.FILE)


def test_what_the_converter_puts_into_jax_does_not_outlive_it():
    # After the conversions above: the converter, left alone, leaves a cumsum of its own in jax.numpy.
    assert jnp.cumsum.__module__.startswith('jax.')
    np.testing.assert_array_equal(jax.jit(lambda x: jnp.cumsum(x, -1))(jnp.arange(4)), [0, 1, 3, 6])


def test_export_json_says_what_the_files_are(small):
    _, folder, document = small
    assert json.loads((folder / 'export.json').read_text()) == json.loads(json.dumps(document))
    assert document['inputs'] == [{'name': 'image', 'dtype': 'uint8', 'shape': ['batch', 28, 28, 3],
                                   'meaning': 'upright RGB images, 0 to 255'}]  # fmt: skip
    assert list(document['outputs']) == ['logits', 'probabilities']
    assert document['classes'] == [str(digit) for digit in range(10)]
    assert document['preparation']['transform'] == 'CentreCrop'
    assert document['normalisation']['inside']
    assert document['precision'] == 'float32'
    assert len(document['checked_on']) == 5
    assert set(document['formats']) == {'stablehlo', 'onnx'}
    for entry in document['formats'].values():
        content = (folder / entry['file']).read_bytes()
        assert entry['bytes'] == len(content)
        assert entry['sha256'] == hashlib.sha256(content).hexdigest()
        for check in ('on_all', 'on_the_first_alone'):
            assert entry[check]['logits']['largest_difference'] <= entry[check]['logits']['allowed'] < 1e-2


ALONE = """
import pathlib, sys
import jax, numpy as np
from jax import export
folder = pathlib.Path(sys.argv[1])
exported = export.deserialize(bytearray((folder / 'model.stablehlo').read_bytes()))
assert '__onednn' not in exported.mlir_module(), 'a call that only this project and this processor know'
assert set(exported.platforms) == {'cpu', 'cuda', 'rocm', 'tpu'}
images = np.load(folder / 'images.npy')
np.save(folder / 'logits.npy', np.concatenate([exported.call(images[:7])[0], exported.call(images[7:])[0]]))
assert not any(name.split('.')[0] in ('cnn', 'flax') for name in sys.modules)
"""


def test_both_files_run_without_this_project_on_real_digits(small, tmp_path):
    config, folder, _ = small
    source = build.source(config, 'test[:12]')
    images = np.stack([build.apply(build.evaluation_transform(config), source.read(i)['image']) for i in range(12)])
    np.save(folder / 'images.npy', images)
    done = subprocess.run([sys.executable, '-c', ALONE, str(folder)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    task = build.task(config, source.info, Replicas(1))
    module = build.model(config, 10)
    variables = weights.load(config.init_from, module)
    want = np.asarray(task.predict(variables, {'image': images})['logits'])
    np.testing.assert_allclose(np.load(folder / 'logits.npy'), want, atol=1e-4)
    session = onnxruntime.InferenceSession(str(folder / 'model.onnx'), providers=['CPUExecutionProvider'])
    np.testing.assert_allclose(session.run(['logits'], {'image': images})[0], want, atol=1e-4)
    onnx.checker.check_model(str(folder / 'model.onnx'), full_check=True)


def test_segmentation_is_exported_in_both_formats_and_ones_own_pictures_check_it(tmp_path):
    from PIL import Image

    config = fcn.get_config('')
    config.model.width = 0.05
    config.image_size = 32
    config = with_weights(config, tmp_path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)).save(tmp_path / 'own.png')
    document = export.run(config, tmp_path / 'run', flags(images=[str(tmp_path / 'own.png')]))
    assert document['checked_on'] == [str(tmp_path / 'own.png')]
    assert document['inputs'][0]['shape'] == ['batch', 32, 32, 3]
    assert [e['on_all']['segmentation']['share_equal'] >= 0.99 for e in document['formats'].values()] == [True, True]


@pytest.mark.parametrize('name', ['yolo', 'faster_rcnn'])
def test_detectors_are_exported_to_stablehlo_with_suppression_inside(tmp_path, name, capsys, monkeypatch):
    monkeypatch.setattr(export, 'CHECKED', 1)
    config = {'yolo': yolo, 'faster_rcnn': faster_rcnn}[name].get_config('preset=tiny')
    config = with_weights(config, tmp_path)
    document = export.run(config, tmp_path / 'run', flags())
    assert "a detector's loops are not known to the converter to ONNX: StableHLO alone" in capsys.readouterr().out
    assert [i['name'] for i in document['inputs']] == ['image', 'placement']
    assert list(document['formats']) == ['stablehlo']
    found = document['formats']['stablehlo']['on_all']['detections']
    assert found['of'] > 0
    assert found['matched'] >= 0.99 * found['of']


def test_a_detector_asked_for_as_onnx_fails_in_one_line_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(export, 'CHECKED', 1)
    config = with_weights(yolo.get_config('preset=tiny'), tmp_path)
    with pytest.raises(RunFailed, match=r'^model\.onnx cannot be made of this network: .+; leave it out') as caught:
        export.run(config, tmp_path / 'run', flags('onnx'))
    assert '\n' not in str(caught.value)
    assert [p.name for p in (tmp_path / 'run').iterdir()] == ['export.json']
    assert 'error' in json.loads((tmp_path / 'run' / 'export.json').read_text())['formats']['onnx']


def test_a_file_that_says_something_else_is_set_aside(small, tmp_path, monkeypatch):
    config, _, _ = small

    class Off(stablehlo.Loaded):
        def __call__(self, batch):
            return {name: value + 1e-2 for name, value in super().__call__(batch).items()}

    monkeypatch.setattr(stablehlo, 'Loaded', Off)
    with pytest.raises(RunFailed, match=r'^model\.stablehlo\.wrong does not say what the model says: logits: '):
        export.run(config, tmp_path, flags('stablehlo'))
    assert sorted(p.name for p in tmp_path.iterdir()) == ['export.json', 'model.stablehlo.wrong']


def test_what_is_missing_or_misspelt_is_said_in_one_line(small, tmp_path, monkeypatch):
    config, _, _ = small
    with pytest.raises(UserError, match=r"^--formats=onx: unknown format; did you mean 'onnx'\?$"):
        export.run(config, tmp_path, flags('onx'))
    with pytest.raises(UserError, match=r'^--mode=export is for classification, segmentation, detection, not for fore'):
        export.run(forecast.get_config(''), tmp_path, flags())
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None if name == 'jax2onnx' else True)
    with pytest.raises(ValueError, match=r'^ONNX needs jax2onnx: pip install jax2onnx==') as caught:
        export.run(config, tmp_path, flags('onnx'))
    assert str(caught.value).endswith('or leave it out with --formats=stablehlo')
    assert not list(tmp_path.iterdir())
