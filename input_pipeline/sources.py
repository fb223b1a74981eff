"""From a data set's name to its source."""

from input_pipeline import coco, datasets, digits, folder, mask_folder, scenes, series, splits, voc
from input_pipeline.joined import Joined
from input_pipeline.source import Source

# What is in an installed package, or made from it: opened by split alone.
_EMBEDDED = {
    'mnist_5k': digits.load,
    'digit_scenes': scenes.load,
    'fertility': lambda split: series.load('fertility', split),
}
_OWN = {'folder': folder.load, 'coco': coco.load, 'voc': voc.load, 'masks': mask_folder.load, 'series': series.load}


def describe(name: str, split: str) -> datasets.DatasetInfo:
    """The entry of a data set: the catalogue's without any data; a person's own files have to be looked at.

    Args:
      name: as in `load`.
      split: that of a person's own files to look at.

    Raises:
      ValueError: unknown data set; of a person's own files, as `load`.
    """
    return load(name, split).info if datasets.is_path(name) else datasets.info(name)


def load(name: str, split: str, *, data_dir: str = '', manual_dir: str = '') -> Source:
    """Opens a split of a data set: a catalogue name (datasets.py), or `KIND:PATH` for a person's own files.

    Args:
      name: `cifar10`, `imagenette/160px-v2`, `folder:PATH`, `coco:PATH`, `voc:PATH`, `masks:PATH`, ...; or several
        configurations, `voc/2007+2012`: the examples of each, where it has such a split.
      split: `train`, `validation`, `test` or the data set's own name, optionally sliced: `train[:10%]`; or several of
        these one after the other: `train+validation`.
      data_dir: where tfds keeps prepared data; empty for its default.
      manual_dir: where archives fetched by hand lie, named in the message if the data is not prepared yet.

    Raises:
      ValueError: unknown data set or split, empty split, data absent or damaged; one line that says what to do.
    """
    names, wanted = datasets.parts(name), [part.strip() for part in split.split('+')]
    pairs = [(one, part) for one in names for part in wanted if len(names) == 1 or _has(one, part)]
    if len(pairs) < 2:
        one, part = pairs[0] if pairs else (names[-1], wanted[0])
        return _open(one, part, data_dir, manual_dir)
    opened = [_open(one, part, data_dir, manual_dir) for one, part in pairs]
    prefixes = [f'{one.partition("/")[2]}/' if len(names) > 1 else '' for one, _ in pairs]
    joined = Joined(opened, name if len(names) > 1 else '', prefixes)
    sliced = len({splits.parse(part)[0] for part in wanted}) < len(wanted)  # slices of one split may overlap
    if sliced and len({joined.example_id(i) for i in range(len(joined))}) < len(joined):
        raise ValueError(f'{name}: split {split!r} names the same examples twice')
    return joined


def _has(name: str, split: str) -> bool:
    """Whether one of several data sets has a split: VOC 2012's test images, for one, have no public labels."""
    entry = datasets.info(name)
    return splits.parse(split)[0] in {*entry.splits, *entry.splits.values()}


def _open(name: str, split: str, data_dir: str, manual_dir: str) -> Source:
    if datasets.is_path(name):
        return _OWN[name.partition(':')[0]](name, split)
    if name in _EMBEDDED:
        return _EMBEDDED[name](split)
    from input_pipeline import prepared  # tfds takes half a second to import

    return prepared.load(name, split, data_dir=data_dir, manual_dir=manual_dir)
