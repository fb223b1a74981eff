"""Streamed and resident batches: exact order, resuming, sharing over processes, errors and bad examples."""

import itertools

import numpy as np
import pytest

import input_pipeline
from input_pipeline import transforms
from input_pipeline.datasets import DatasetInfo
from input_pipeline.loader import TooManyBadExamples
from input_pipeline.order import index_batch
from input_pipeline.source import ArraySource, UnreadableError

INFO = DatasetInfo(name='made', num_classes=5, splits={'train': 'train'}, evaluation_split='train', licence='ours')


def _source(n=23, size=8, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, size, size + 4, 3), dtype=np.uint8)
    return ArraySource(INFO, 'train', images, np.arange(n) % 5, [f'example {i}' for i in range(n)])


class Failing(ArraySource):
    """A source whose examples `bad` cannot be read."""

    def __init__(self, n, bad, error=None):
        images = np.zeros((n, 8, 8, 3), np.uint8) + np.arange(n, dtype=np.uint8)[:, None, None, None]
        super().__init__(INFO, 'train', images, np.arange(n) % 5, [f'example {i}' for i in range(n)])
        self.bad, self.error = bad, error or UnreadableError('torn')

    def read(self, i):
        if i in self.bad:
            raise self.error
        return super().read(i)


def _streaming(source, **changes):
    arguments = {'batch_size': 6, 'seed': 4, 'host_transform': transforms.train(8, 'random_resized'), 'threads': 2}
    return input_pipeline.Streaming(source, **{**arguments, **changes})


def _take(pipeline, count, start=0):
    return list(itertools.islice(pipeline.batches(start), count))


def _same(left, right):
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key])


def test_batches_have_the_stated_form_and_order():
    source = _source()
    for step, batch in enumerate(_take(_streaming(source), 5)):
        np.testing.assert_array_equal(batch['index'], index_batch(23, 4, 6, step))
        np.testing.assert_array_equal(batch['label'], source.labels[batch['index']])
        np.testing.assert_array_equal(batch['row'], np.arange(6))
        np.testing.assert_array_equal(batch['mask'], np.ones(6))
        assert (batch['image'].shape, batch['image'].dtype) == ((6, 8, 8, 3), np.uint8)
        assert [batch[key].dtype for key in ('label', 'index', 'row', 'mask')] == [np.int32] * 3 + [np.float32]


def test_resuming_is_exact_random_crops_included():
    pipeline = _streaming(_source())
    whole = _take(pipeline, 9)
    for left, right in zip(whole[4:], _take(_streaming(_source()), 5, start=4), strict=True):
        _same(left, right)


def test_does_not_depend_on_threads_or_prefetching():
    expected = _take(_streaming(_source(), threads=1), 8)
    for threads, prefetch in ((1, 0), (3, 1), (5, 7)):
        batches = itertools.islice(_streaming(_source(), threads=threads).batches(0, prefetch), 8)
        for left, right in zip(expected, batches, strict=True):
            _same(left, right)


def test_crops_differ_between_epochs():
    batches = _take(_streaming(_source(n=6)), 2)
    first, second = (dict(zip(b['index'], b['image'], strict=True)) for b in batches)
    assert any((first[i] != second[i]).any() for i in range(6))


def test_processes_read_the_rows_of_one_process():
    whole = _take(_streaming(_source()), 5)
    parts = [_take(_streaming(_source(), process_index=p, process_count=3), 5) for p in range(3)]
    for step, batch in enumerate(whole):
        for key in batch:
            np.testing.assert_array_equal(batch[key], np.concatenate([part[step][key] for part in parts]))
    with pytest.raises(ValueError, match='must be a multiple of the 4 processes'):
        _streaming(_source(), process_count=4)


def test_resident_sees_what_streaming_sees():
    arguments = {'host_transform': transforms.train(8), 'batch_size': 6, 'seed': 2}
    resident = input_pipeline.Resident(_source(), **arguments)
    assert resident.arrays['image'].shape == (23, 8, 8, 3)
    streamed = _take(_streaming(_source(), **arguments), 9, start=3)
    for index_only, batch in zip(_take(resident, 9, start=3), streamed, strict=True):
        for key in index_only:
            np.testing.assert_array_equal(index_only[key], batch[key])
        np.testing.assert_array_equal(resident.arrays['image'][batch['index']], batch['image'])
        np.testing.assert_array_equal(resident.arrays['label'][batch['index']], batch['label'])
    assert resident.state_fingerprint() == _streaming(_source(), **arguments).state_fingerprint()


def test_resident_refuses_random_crops_and_knows_its_size():
    with pytest.raises(ValueError, match='takes no random host transform'):
        input_pipeline.Resident(_source(), batch_size=6, seed=0, host_transform=transforms.train(8, 'random_resized'))
    assert input_pipeline.Resident.fits(_source(), 8, 23 * (8 * 8 * 3 + 4))
    assert not input_pipeline.Resident.fits(_source(), 8, 23 * (8 * 8 * 3 + 4) - 1)


def test_fingerprint_changes_with_all_that_decides_the_batches():
    base = _streaming(_source()).state_fingerprint()
    assert base == _streaming(_source(), threads=7).state_fingerprint()
    for changes in (
        {'batch_size': 12},
        {'seed': 5},
        {'host_transform': transforms.train(9, 'random_resized')},
        {'host_transform': transforms.train(8, 'random_resized', scale=(0.1, 1.0))},
        {'host_transform': transforms.train(8)},
    ):
        assert base != _streaming(_source(), **changes).state_fingerprint()
    assert base != _streaming(_source(n=24)).state_fingerprint()


def test_a_bad_example_is_replaced_by_its_next_readable_neighbour():
    source = Failing(20, bad={3, 4, 19})
    plain = transforms.train(8)
    pipeline = _streaming(source, host_transform=plain, max_bad_fraction=0.2)
    for step, batch in enumerate(_take(pipeline, 8)):
        wanted = [{3: 5, 4: 5, 19: 0}.get(i, i) for i in index_batch(20, 4, 6, step).tolist()]
        np.testing.assert_array_equal(batch['index'], wanted)
        np.testing.assert_array_equal(batch['image'][:, 0, 0, 0], wanted)
        np.testing.assert_array_equal(batch['label'], np.asarray(wanted) % 5)
    assert [(bad.index, bad.id, bad.reason) for bad in pipeline.bad_examples] == [
        (3, 'example 3', 'torn'),
        (4, 'example 4', 'torn'),
        (19, 'example 19', 'torn'),
    ]
    resident = input_pipeline.Resident(source, batch_size=6, seed=4, host_transform=plain, max_bad_fraction=0.2)
    for left, right in zip(_take(resident, 8), _take(pipeline, 8), strict=True):
        np.testing.assert_array_equal(left['index'], right['index'])
        np.testing.assert_array_equal(resident.arrays['image'][left['index']], right['image'])


def test_too_many_bad_examples_stop_the_run_and_are_named():
    pipeline = _streaming(Failing(20, bad={3, 7}), max_bad_fraction=0.05)
    with pytest.raises(TooManyBadExamples, match=r'2 of 20 examples cannot be read.*example 3 \(torn\); example 7'):
        _take(pipeline, 20)
    with pytest.raises(TooManyBadExamples):
        _take(_streaming(Failing(4, bad={0, 1, 2, 3}), max_bad_fraction=1.0), 1)


@pytest.mark.parametrize('threads', [1, 4])
def test_an_error_ends_the_iteration_and_skips_nothing(threads):
    pipeline = _streaming(Failing(60, bad={11}, error=ValueError('label 9 of example 11')), threads=threads)
    at = next(step for step in range(20) if 11 in index_batch(60, 4, 6, step))
    batches = pipeline.batches(0)
    for step in range(at):
        np.testing.assert_array_equal(next(batches)['index'], index_batch(60, 4, 6, step))
    with pytest.raises(ValueError, match='label 9 of example 11'):
        next(batches)
    assert next(batches, None) is None


@pytest.mark.parametrize('resident', [False, True])
@pytest.mark.parametrize(('n', 'batch_size', 'processes'), [(23, 6, 1), (23, 6, 3), (24, 6, 2), (2, 8, 4), (1, 1, 1)])
def test_evaluation_counts_every_example_once(n, batch_size, processes, resident):
    source, seen, lengths = _source(n), np.zeros(n, int), set()
    for p in range(processes):
        batches = input_pipeline.evaluation_batches(
            source,
            batch_size=batch_size,
            host_transform=transforms.evaluate(8),
            resident=resident,
            process_index=p,
            process_count=processes,
        )
        count = 0
        for batch in batches:
            count += 1
            real = batch['mask'] > 0
            assert len(real) == batch_size // processes
            np.add.at(seen, batch['index'][real], 1)
            images = batches.arrays['image'][batch['index']] if resident else batch['image']
            for image, index in zip(images[real], batch['index'][real], strict=True):
                np.testing.assert_array_equal(image, source.read(int(index))['image'][:, 2:10])
        assert count == len(batches)
        lengths.add(count)
    np.testing.assert_array_equal(seen, 1)
    assert lengths == {-(-n // batch_size)}


@pytest.mark.parametrize('resident', [False, True])
def test_evaluation_leaves_out_what_it_cannot_read(resident):
    batches = input_pipeline.evaluation_batches(
        Failing(10, bad={4}),
        batch_size=4,
        host_transform=transforms.evaluate(8),
        resident=resident,
        max_bad_fraction=0.1,
    )
    scored = [i for batch in batches for i in batch['index'][batch['mask'] > 0]]
    assert scored == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert [bad.index for bad in batches.bad_examples] == [4]
    with pytest.raises(ValueError, match='no random host transform'):
        input_pipeline.evaluation_batches(_source(), batch_size=4, host_transform=transforms.train(8, 'random_resized'))


def test_real_files_that_are_torn(tmp_path, shared_data):
    """Truncated, HTML and empty files among real photographs, through the whole pipeline."""
    photos = sorted((shared_data / 'imagenette_224' / 'val').rglob('*.JPEG'))[:9]
    (tmp_path / 'a').mkdir()
    for i, photo in enumerate(photos):
        (tmp_path / 'a' / f'{i}.jpg').write_bytes(photo.read_bytes())
    (tmp_path / 'a' / '2.jpg').write_bytes(photos[2].read_bytes()[:3000])
    (tmp_path / 'a' / '5.jpg').write_text('<html>404 Not Found</html>')
    (tmp_path / 'a' / '8.jpg').write_bytes(b'')
    source = input_pipeline.load(f'folder:{tmp_path}', 'all')
    pipeline = _streaming(source, host_transform=transforms.train(64), batch_size=9, max_bad_fraction=0.5)
    (batch,) = _take(pipeline, 1)
    assert set(batch['index'].tolist()) == {0, 1, 3, 4, 6, 7}
    reasons = {bad.id: bad.reason for bad in pipeline.bad_examples}
    assert sorted(reasons) == ['a/2.jpg', 'a/5.jpg', 'a/8.jpg']
    assert 'damaged' in reasons['a/2.jpg']
    assert 'web page' in reasons['a/5.jpg']
    assert 'empty file' in reasons['a/8.jpg']
