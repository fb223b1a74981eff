"""Proposals kept in a file: found once, shared by folds, moved with the pixels; damage, kills and changed images."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import input_pipeline
from input_pipeline import canvas, file_lock, proposals
from input_pipeline.proposals import Searching, Table
from input_pipeline.selective_search import SelectiveSearch
from input_pipeline.source import ArraySource, UnreadableError
from input_pipeline.targets import Boxes, Proposals


class Scenes(ArraySource):
    """Five images of 40 x 50, each with one object."""

    def __init__(self, more: int = 0):
        info = input_pipeline.describe('digit_scenes', 'train')
        images = np.random.default_rng(0).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8)
        images[2] += np.uint8(more)
        super().__init__(info, 'train', images, np.zeros(5, int), [f'scene {i}' for i in range(5)])

    def read(self, i):
        boxes = {'boxes': np.float32([[0.1, 0.1, 0.5, 0.5]]), 'box_labels': np.int32([0])}
        return super().read(i) | boxes


class Counting:
    """Finds (first pixel + 1) boxes whose corner is the place in the order of asking."""

    name = 'counting'

    def __init__(self, version='1', fails_at=None):
        self.version, self.fails_at, self.asked = version, fails_at, []

    def fingerprint(self):
        return self.version

    def find(self, images):
        for k, image in enumerate(images):
            if k == self.fails_at:
                raise RuntimeError('killed')
            self.asked.append(image)
            yield boxes_of(image)


def boxes_of(image):
    first = image[0, 0, 0] / 512
    return np.float32([[first, 0, first + 0.5, 0.5], [0, 0, 1, 1]])


def found(source, finder, folder):
    said = []
    return proposals.found(source, finder, folder, note=said.append), said


def test_they_are_found_once_and_folds_share_them(tmp_path):
    source, finder = Scenes(), Counting()
    part, said = found(source.select([3, 1]), finder, tmp_path)
    assert len(finder.asked) == 2
    assert '2 images' in said[0]
    np.testing.assert_array_equal(part.read(0)['proposals'], boxes_of(source.read(3)['image']))
    np.testing.assert_array_equal(part.read(1)['proposals'], boxes_of(source.read(1)['image']))
    whole, _ = found(source, finder, tmp_path)
    assert len(finder.asked) == 5
    again, said = found(source.select([4, 4, 0]).select([2]), finder, tmp_path)
    assert (len(finder.asked), said) == (5, [])
    for i in range(5):
        np.testing.assert_array_equal(whole.read(i)['proposals'], boxes_of(source.read(i)['image']))
    np.testing.assert_array_equal(again.read(0)['proposals'], boxes_of(source.read(0)['image']))
    np.testing.assert_array_equal(whole.select([1]).read(0)['proposals'], boxes_of(source.read(1)['image']))
    # Another finder finds its own, and other proposals make another source.
    other, _ = found(source, Counting('2'), tmp_path)
    assert len({source.fingerprint(), whole.fingerprint(), other.fingerprint()}) == 3
    assert len(list(tmp_path.glob('*.proposals'))) == 2


@pytest.mark.parametrize('spoil', ['flip', 'cut', 'empty'])
def test_a_damaged_file_is_noticed_and_made_anew(tmp_path, spoil):
    found(Scenes(), Counting(), tmp_path)
    (file,) = tmp_path.glob('*.proposals')
    good = file.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    file.write_bytes({'flip': bytes(flipped), 'cut': good[:-9], 'empty': b''}[spoil])
    finder = Counting()
    _, said = found(Scenes(), finder, tmp_path)
    assert 'is damaged' in said[0]
    assert len(finder.asked) == 5
    assert file.read_bytes() == good


def test_a_search_that_broke_off_goes_on(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match='killed'):
        found(Scenes(), Counting(fails_at=3), tmp_path)
    assert not list(tmp_path.glob('*.proposals'))
    finder = Counting()
    whole, _ = found(Scenes(), finder, tmp_path)
    assert len(finder.asked) == 2
    np.testing.assert_array_equal(whole.read(0)['proposals'], boxes_of(Scenes().read(0)['image']))
    # What is found is written down as time goes by.
    monkeypatch.setattr(proposals, '_EVERY', 0.0)
    written = []
    monkeypatch.setattr(proposals, '_keep', lambda rows, path: written.append(sorted(rows)))
    found(Scenes(), Counting('2'), tmp_path)
    assert written == [[0], [1], [2], [3], [4]]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ['.lock', '.lock', '.proposals', '.proposals']


def test_a_changed_image_is_refused(tmp_path):
    found(Scenes(), Counting(), tmp_path)
    changed, _ = found(Scenes(more=1), Counting(), tmp_path)
    changed.read(1)
    with pytest.raises(ValueError, match=r'scene 2 is not the image any more .* delete .*proposals'):
        changed.read(2)


def test_an_unreadable_image_has_no_proposals(tmp_path):
    class Broken(Scenes):
        def read(self, i):
            if i == 1:
                raise UnreadableError('no such file')
            return super().read(i) | ({'image': b'no image'} if i == 2 else {})

    search = Searching(SelectiveSearch(width=0, min_side=4.0), name='search')
    whole, _ = found(Broken(), search, tmp_path)
    assert len(whole.read(2)['proposals']) == 0
    assert len(whole.read(3)['proposals']) > 0


def test_processes_find_what_one_finds(tmp_path):
    search = SelectiveSearch(width=0, min_side=4.0)
    images = [scene['image'] for scene in map(input_pipeline.load('digit_scenes', 'test').read, range(10))]
    several = list(Searching(search, name='search', processes=2).find(iter(images)))
    assert len(several) == 10
    for boxes, image in zip(several, images, strict=True):
        np.testing.assert_array_equal(boxes, search(image))


def test_workers_end_with_their_parent(tmp_path):
    program = tmp_path / 'parent.py'
    program.write_text(
        'import numpy as np, sys, time\n'
        'sys.path.insert(0, sys.argv[1])\n'
        'from input_pipeline.proposals import Searching\n'
        'def slow(image):\n'
        '    import os; print(os.getpid(), flush=True); time.sleep(60)\n'
        'if __name__ == "__main__":\n'
        '    list(Searching(slow, name="slow", processes=1 + 1).find([b""] * 9))\n'
    )
    root = os.path.dirname(os.path.dirname(proposals.__file__))
    parent = subprocess.Popen([sys.executable, str(program), root], stdout=subprocess.PIPE, text=True)
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not any(map(_lives, workers)):
            return
        time.sleep(0.05)
    raise AssertionError(f'{workers} live on')


def _lives(process):
    try:
        with open(f'/proc/{process}/stat') as file:
            return file.read().split()[2] != 'Z'
    except OSError:
        return False


def test_a_table_of_no_boxes_comes_back():
    table = Table.of({7: (1, np.zeros((0, 4))), 3: (2, np.float32([[0, 0, 1, 1]]))})
    back = Table.decoded(table.encoded())
    assert back.places.tolist() == [3, 7]
    assert {at: (total, len(boxes)) for at, (total, boxes) in back.rows().items()} == {3: (2, 1), 7: (1, 0)}


def test_a_second_process_waits_for_the_first(tmp_path):
    program = (
        'import pathlib, sys; from input_pipeline import file_lock\n'
        'with file_lock.held(pathlib.Path(sys.argv[1])): print("held", flush=True); sys.stdin.read()\n'
    )
    place = tmp_path / 'lock'
    first = subprocess.Popen([sys.executable, '-c', program, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    first.stdout.readline()
    said = []

    def waits():
        said.append('waits')
        first.stdin.close()

    with file_lock.held(place, waits):
        assert said == ['waits']
    with file_lock.held(place, waits):
        assert said == ['waits']
    first.stdout.close()
    assert first.wait() == 0


class Given(Scenes):
    """Proposals by hand."""

    def __init__(self, boxes):
        super().__init__()
        self._given = np.float32(boxes)

    def read(self, i):
        return super().read(i) | {'proposals': self._given}


def test_they_move_with_the_pixels_and_what_is_out_of_view_is_padding():
    # In pixels of 40 x 50, columns x rows: 0..25 x 0..20, all, the right lower corner, 10..30 x 8..24.
    source = Given([[0, 0, 0.5, 0.5], [0, 0, 1, 1], [0.9, 0.75, 1, 1], [0.2, 0.2, 0.6, 0.6]])
    target = [Boxes(2), Proposals(5)]

    def first(transform):
        arguments = {'batch_size': 5, 'seed': 0, 'threads': 1, 'targets': target}
        batch = next(input_pipeline.Streaming(source, host_transform=transform, **arguments).batches())
        assert batch['proposals'].dtype == np.float32
        assert batch['proposals'].shape == (5, 5, 4)
        return batch

    # Doubled, in the left half of the canvas.
    moved = first(canvas.Letterbox((80, 200)))['proposals'][0]
    expected = [[0, 0, 50, 40], [0, 0, 100, 80], [90, 60, 100, 80], [20, 16, 60, 48], [0, 0, 0, 0]]
    np.testing.assert_allclose(moved, expected, rtol=1e-6)
    # The middle 20 x 20 pixels, from column 15 and row 10 on: the centres of the first and third are not in it.
    cut = first(canvas.PadOrCrop(20))['proposals'][0]
    np.testing.assert_allclose(cut, [[0, 0, 20, 20], [0, 0, 15, 14], *[[0] * 4] * 3], atol=1e-5)
    # At random scales and places they lie in the image as the object does.
    batch = first(canvas.RandomScaleCrop((64, 64), scale=(0.5, 1.0)))
    y, x, dy, dx = batch['placement'][:, :4].T
    expected = np.stack([dx, dy, 50 * x + dx, 40 * y + dy], 1)
    np.testing.assert_allclose(batch['proposals'][:, 1], expected, atol=1e-4)
    # No more than there is room for, the best first.
    target[1] = Proposals(1)
    few = input_pipeline.evaluation_batches(source, batch_size=5, host_transform=canvas.PadOrCrop(50), targets=target)
    np.testing.assert_array_equal(next(iter(few))['proposals'], [[[0, 0, 25, 20]]] * 5)


def test_resident_ones_are_the_streamed_ones():
    source = Given([[0, 0, 0.5, 0.5], [0.2, 0.2, 0.4, 0.4]])
    options = {'batch_size': 5, 'seed': 0, 'host_transform': canvas.Letterbox(32), 'targets': [Boxes(2), Proposals(3)]}
    resident, streamed = input_pipeline.Resident(source, **options), input_pipeline.Streaming(source, **options)
    index = next(iter(resident.batches()))['index']
    np.testing.assert_array_equal(resident.arrays['proposals'][index], next(iter(streamed.batches()))['proposals'])
