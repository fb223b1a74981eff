"""Images per second of the training input: this project against raw decoding, PyTorch's DataLoader and tf.data.

    python benchmarks/input_pipeline.py --images=FOLDER [--fit=500x375] [--cores=2] [--image_size=224] [--rounds=9]
                                        [--json=FILE]

FOLDER holds JPEG files (its sub-folders count); with `--fit` there is a second table, of the same pictures cut and
resized to that many pixels and written anew at a quality of `--quality`: how much of the time decoding takes depends on
the size of the files. Every contender makes random resized crops (scale 0.08 to 1) of
`image_size` pixels from the same files, in batches of 64, on the same cores, in turn, round after round; what is
printed is the median over rounds of images per second of wall time, of images per second of processor time, and of the
ratio to raw decoding (simplejpeg, which is libjpeg-turbo, a thread a core, no crop, no resizing) in the same round. The
pipelines are timed in full swing: from some batch to a later one. All have the large memory pages that main.py asks
for, and PyTorch is run without them too, as whoever installs it has it (the start of its processes counts as processor
time there). PyTorch (with torchvision) and TensorFlow take part
where they are installed; neither is needed otherwise.
"""

import argparse
import atexit
import concurrent.futures
import functools
import itertools
import os
import pathlib
import resource
import shutil
import statistics
import sys
import tempfile
import time
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import tables

BATCH = 64
WARM = 3  # batches before the clock starts


def timed(batches, count: int) -> tuple[float, float]:
    """Images per second of wall and of processor time over `count` images of an iterator of batches."""
    for _ in range(WARM):
        next(batches)
    wall, processor = time.perf_counter(), processor_seconds()
    for _ in range(count // BATCH):
        next(batches)
    images = count // BATCH * BATCH
    return images / (time.perf_counter() - wall), images / (processor_seconds() - processor)


def fitted(files, width: int, height: int, quality: int) -> list[pathlib.Path]:
    """The same pictures in files of one size, which lie in a folder that goes with the program."""
    import PIL.Image
    import PIL.ImageOps

    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    for k, file in enumerate(files):
        with PIL.Image.open(file) as image:
            picture = PIL.ImageOps.fit(image.convert('RGB'), (width, height), PIL.Image.Resampling.BICUBIC)
        picture.save(folder / f'{k:06d}.jpg', quality=quality)
    return sorted(folder.iterdir())


def raw(files, cores, size):
    """Decodes whole images, the bound of whatever decodes whole images."""
    import simplejpeg

    data = [path.read_bytes() for path in files]
    pool = concurrent.futures.ThreadPoolExecutor(cores)

    def run(count):
        turns = itertools.count()

        def work():
            while (turn := next(turns)) < count:
                simplejpeg.decode_jpeg(data[turn % len(data)])

        wall, processor = time.perf_counter(), processor_seconds()
        for done in [pool.submit(work) for _ in range(cores)]:
            done.result()
        return count / (time.perf_counter() - wall), count / (processor_seconds() - processor)

    return run


def _information():
    from input_pipeline.datasets import DatasetInfo

    return DatasetInfo(name='files', num_classes=1, splits={'all': 'all'}, evaluation_split='all', licence='')


def _streaming(source, cores, size, antialias):
    from input_pipeline import Streaming, transforms

    transform = transforms.train(size, 'random_resized', antialias=antialias)
    pipeline = Streaming(source, batch_size=BATCH, seed=0, host_transform=transform, threads=cores)
    steps = itertools.count(0, 1000)

    def run(count):
        batches = pipeline.batches(next(steps))
        speed = timed(batches, count)
        batches.close()
        return speed

    return run


# At least a thousand examples: an epoch's order takes a moment, which no real set is small enough to notice.
def _times(files) -> int:
    return -(-1000 // len(files))


def this_project_files(files, cores, size, antialias=True):
    """The streaming pipeline over a folder of files."""
    import numpy as np

    from input_pipeline.folder import FolderSource

    root = pathlib.Path(os.path.commonpath(files)) if len(files) > 1 else files[0].parent
    ids = [path.relative_to(root).as_posix() for path in files] * _times(files)
    source = FolderSource(_information(), 'all', root, ids, np.zeros(len(ids), np.int32))
    return _streaming(source, cores, size, antialias)


def this_project_records(files, cores, size, antialias=True):
    """The streaming pipeline over an ArrayRecord shard, as tfds prepares data sets."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    from input_pipeline.prepared import PreparedSource
    from input_pipeline.records import ArrayRecordShard

    path = pathlib.Path(tempfile.mkdtemp()) / 'files.array_record'
    writer = ArrayRecordWriter(str(path), 'group_size:1')
    for file in files:
        example = tf_example_pb2.Example()
        example.features.feature['image'].bytes_list.value.append(file.read_bytes())
        example.features.feature['label'].int64_list.value.append(0)
        writer.write(example.SerializeToString())
    writer.close()
    shard, times = ArrayRecordShard(path, len(files)), _times(files)
    shutil.rmtree(path.parent)  # the shard stays open
    # The same bytes again and again, as for everyone else: what the processor's cache holds is the same.
    source = PreparedSource(_information(), 'all', '', [path.name] * times, [shard] * times, [len(files)] * times)
    return _streaming(source, cores, size, antialias)


class Files:
    """A data set for PyTorch's DataLoader: files in turn, read by Pillow, through torchvision's usual recipe."""

    def __init__(self, files, size):
        from torchvision import transforms

        self.files, self.length = files, len(files)
        self.recipe = transforms.Compose(
            [
                transforms.RandomResizedCrop(size),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        import PIL.Image

        with PIL.Image.open(self.files[i % len(self.files)]) as image:
            return self.recipe(image.convert('RGB')), 0


def torch_loader(files, cores, size, start='fork'):
    """torchvision's way: Pillow, RandomResizedCrop, ToTensor, Normalize in worker processes."""
    import torch

    def run(count):
        dataset = Files(files, size)
        dataset.length = count + WARM * BATCH
        processor = processor_seconds()
        loader = torch.utils.data.DataLoader(
            dataset, BATCH, shuffle=True, num_workers=cores, multiprocessing_context=start
        )
        batches = iter(loader)
        wall, _ = timed(batches, count)
        del batches  # the workers end, and their processor time is known
        return wall, dataset.length / (processor_seconds() - processor)

    torch.set_num_threads(1)
    return run


def torch_loader_as_it_comes(files, cores, size):
    """The same as its users have it: workers with memory in pages of the usual size."""
    run = torch_loader(files, cores, size, start='spawn')

    def without(count):
        held = os.environ.pop('GLIBC_TUNABLES', None)
        try:
            return run(count)
        finally:
            if held is not None:
                os.environ['GLIBC_TUNABLES'] = held

    return without


def tf_data(files, cores, size):
    """tf.data with decode_and_crop_jpeg and bilinear resizing to uint8."""
    import tensorflow as tf

    tf.config.set_visible_devices([], 'GPU')

    def load(path):
        data = tf.io.read_file(path)
        shape = tf.io.extract_jpeg_shape(data)
        begin, extent, _ = tf.image.sample_distorted_bounding_box(
            shape,
            tf.zeros([1, 0, 4]),
            area_range=(0.08, 1.0),
            aspect_ratio_range=(3 / 4, 4 / 3),
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.stack([begin[0], begin[1], extent[0], extent[1]])
        image = tf.image.decode_and_crop_jpeg(data, window, channels=3)
        image = tf.image.resize(image[None], (size, size), 'bilinear')[0]
        return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

    names = [str(path) for path in files]

    def run(count):
        dataset = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names)).repeat()
        dataset = dataset.map(load, num_parallel_calls=cores).batch(BATCH, drop_remainder=True).prefetch(1)
        options = tf.data.Options()
        options.threading.private_threadpool_size = cores
        return timed(iter(dataset.with_options(options)), count)

    return run


CONTENDERS = {
    'raw decoding': raw,
    'this project, files': this_project_files,
    'this project, ArrayRecord': this_project_records,
    'this project, files, antialias off': functools.partial(this_project_files, antialias=False),
    'this project, ArrayRecord, antialias off': functools.partial(this_project_records, antialias=False),
    'PyTorch, torchvision': torch_loader_as_it_comes,
    'PyTorch, large pages': torch_loader,
    'tf.data': tf_data,
}


def processor_seconds() -> float:
    """Of this process, its threads, and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def measure(contenders, count: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Images per second of wall and of processor time, a pair a round, the contenders in turn."""
    found = {name: [] for name in contenders}
    for run in contenders.values():
        run(2 * BATCH)
    for _ in range(rounds):
        for name, run in contenders.items():
            time.sleep(0.3)  # what the last one prepared ahead is finished
            found[name].append(run(count))
    return found


def main() -> None:
    # As main.py runs: large memory pages, for every contender but one alike.
    from cnn.ops import huge_pages

    huge_pages.enable()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', required=True, type=pathlib.Path, help='folder of JPEG files')
    parser.add_argument('--fit', default='', help='WIDTHxHEIGHT: measured on copies of that size as well')
    parser.add_argument('--quality', type=int, default=90, help='of those that --fit writes, as Pillow counts')
    parser.add_argument('--cores', type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument('--image_size', type=int, default=224)
    parser.add_argument('--count', type=int, default=1024, help='images a round')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--only', default='', help='contenders, by the start of their names, with commas')
    parser.add_argument('--json', default='', help='file to write the numbers to')
    arguments = parser.parse_args()
    files = sorted(f for f in arguments.images.rglob('*') if f.suffix.lower() in ('.jpg', '.jpeg'))
    if not files:
        parser.error(f'no JPEG files in {arguments.images}')
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    warnings.filterwarnings('ignore')
    # PyTorch would load it on the way, for GPUs; in one process with TensorFlow it crashes.
    sys.modules['triton'] = None
    sets = [files]
    if arguments.fit:
        sets.append(fitted(files, *(int(side) for side in arguments.fit.split('x')), arguments.quality))
    parts, rows = [], {}
    for files in sets:
        found = measure(contenders(files, arguments), arguments.count, arguments.rounds)
        kilobytes = sum(file.stat().st_size for file in files) / len(files) / 1000
        caption = f'{len(files)} files of {kilobytes:.0f} KB, {arguments.image_size} pixels, {arguments.rounds} rounds'
        print(f'{caption}, {arguments.cores} cores')
        table, rows[caption] = tabulated(found)
        parts.append(f'{caption}:\n\n{table.markdown()}')
    tables.keep(arguments.json, '\n\n'.join(parts), rows)


def contenders(files, arguments) -> dict:
    """What takes part, by name, ready to be run."""
    ready = {}
    for name, make in CONTENDERS.items():
        if arguments.only and not any(name.startswith(part) for part in arguments.only.split(',')):
            continue
        try:
            ready[name] = make(files, arguments.cores, arguments.image_size)
        except ImportError as error:
            print(f'{name}: left out ({error})')
    return ready


def tabulated(found) -> tuple[tables.Table, dict]:
    """The table, printed, and the numbers in it."""
    table = tables.Table('contestant', 'images/s', 'a core', 'of raw decoding', 'by processor time')
    rows = {}
    reference = found.get('raw decoding')
    for name, pairs in found.items():
        wall, processor = (statistics.median(p[k] for p in pairs) for k in (0, 1))
        row = {'images_per_second': wall, 'images_per_processor_second': processor}
        cells = [f'{wall:.0f}', f'{processor:.0f}', '', '']
        if reference:
            ratios = [statistics.median(p[k] / r[k] for p, r in zip(pairs, reference, strict=True)) for k in (0, 1)]
            row |= {'of_raw': ratios[0], 'of_raw_processor_time': ratios[1]}
            cells[2:] = (f'{ratio:.2f}' for ratio in ratios)
        rows[name] = row
        table.row(name, *cells)
    return table, rows


if __name__ == '__main__':
    main()
