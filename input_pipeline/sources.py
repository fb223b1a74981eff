"""From a data set's name to its source."""

from input_pipeline import coco, datasets, digits, folder, mask_folder, scenes, series, voc
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
      name: `cifar10`, `imagenette/160px-v2`, `folder:PATH`, `coco:PATH`, `voc:PATH`, `masks:PATH`, ...
      split: `train`, `validation`, `test` or the data set's own name, optionally sliced: `train[:10%]`.
      data_dir: where tfds keeps prepared data; empty for its default.
      manual_dir: where archives fetched by hand lie, named in the message if the data is not prepared yet.

    Raises:
      ValueError: unknown data set or split, empty split, data absent or damaged; one line that says what to do.
    """
    if datasets.is_path(name):
        return _OWN[name.partition(':')[0]](name, split)
    if name in _EMBEDDED:
        return _EMBEDDED[name](split)
    datasets.info(name)
    from input_pipeline import prepared  # tfds takes half a second to import

    return prepared.load(name, split, data_dir=data_dir, manual_dir=manual_dir)
