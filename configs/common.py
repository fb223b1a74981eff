"""What the configs share: the argument string, the sections with their defaults, and the size of each data set.

Every field a script may rely on is in `base()`. None of them is a list or None, because neither can be overridden on
the command line; 'auto', 0 or an empty string stand for "derived later, after the overrides".
"""

import difflib

from ml_collections import ConfigDict

# Data sets of small images, with the side that networks see: they take the networks' small-image stems.
SMALL_IMAGES = {'mnist_5k': 28, 'cifar10': 32, 'cifar100': 32}
PRESETS = ('', 'tiny')


def parse_arg(arg: str, **defaults):
    """Reads 'key=value,key=value' into the types of `defaults`, plus `dataset`, `image_size` and `preset`.

    Raises:
      ValueError: for an unknown key (naming the nearest), a missing '=', or a value of the wrong type.
    """
    values = {'dataset': 'mnist_5k', 'image_size': 0, 'preset': '', **defaults}
    for item in filter(None, (arg or '').split(',')):
        key, separator, text = item.partition('=')
        if key not in values:
            close = difflib.get_close_matches(key, values, n=1)
            hint = f'did you mean {close[0]!r}?' if close else f'there are {", ".join(values)}'
            raise ValueError(f'unknown config argument {key!r}; {hint}')
        if not separator:
            raise ValueError(f'config argument {key!r} has no value; write {key}=VALUE')
        kind = type(values[key])
        if kind is bool:
            if text.lower() not in ('true', 'false', '1', '0'):
                raise ValueError(f'config argument {key}={text!r} takes true or false')
            values[key] = text.lower() in ('true', '1')
            continue
        try:
            values[key] = kind(text)
        except ValueError:
            raise ValueError(f'config argument {key}={text!r} takes {kind.__name__}') from None
    if values['preset'] not in PRESETS:
        raise ValueError(f'unknown preset {values["preset"]!r}; there is tiny')
    return ConfigDict(values)


def check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError where the config argument `key` is none of `choices`, naming the nearest."""
    if value not in choices:
        close = difflib.get_close_matches(value, choices, n=1)
        hint = f'did you mean {close[0]!r}?' if close else f'there are {", ".join(choices)}'
        raise ValueError(f'config argument {key}={value!r} is unknown; {hint}')


def base(arg: ConfigDict, *, model: dict, small: bool | None = None) -> ConfigDict:
    """The config that each experiment starts from: a classifier on `arg.dataset`, SGD with momentum, cosine decay.

    Args:
      arg: what `parse_arg` returned.
      model: the network's name and sizes.
      small: whether images are small (28 to 64 pixels); None decides by the data set.
    """
    if small is None:
        small = arg.dataset in SMALL_IMAGES
    c = ConfigDict()
    c.task = 'classification'
    c.seed = 0
    c.dataset = arg.dataset
    c.data_dir = ''
    c.manual_dir = ''
    c.image_size = arg.image_size or SMALL_IMAGES.get(arg.dataset, 32 if small else 224)
    c.batch_size = 128 if small else 256
    c.epochs = 12.0
    # A run of so many steps, whatever the number of examples: `epochs` and what counts in epochs are then shares of it.
    # 0: `epochs` of the examples.
    c.steps = 0
    # float32 on the CPU, bfloat16 compute with float32 parameters on accelerators.
    c.precision = 'auto'
    # A weights file (.pth, .safetensors) or a workdir to start from; replace_head allows another number of classes.
    c.init_from = ''
    c.replace_head = False
    # Devices of this process that share the batch; 0 for all.
    c.devices = 0

    c.model = ConfigDict(model)
    # Each replica normalises by its own batch, or all by the global one.
    c.batch_norm = ConfigDict({'synchronised': False})

    c.optimizer = _optimizer()
    c.schedule = _schedule()
    c.loss = ConfigDict({'label_smoothing': 0.0})

    c.augmentation = _augmentation(small)
    c.evaluation = _evaluation()
    c.checkpoint = ConfigDict({'every_epochs': 1.0, 'keep': 2, 'best_metric': 'accuracy'})
    c.folds = folds()
    c.sweep = sweep()
    # A training in stages: their names in turn, and a section for each (cnn/experiments/stages.py).
    c.stages = ConfigDict({'order': ''})

    c.input = _input()
    c.log_every_steps = 0
    # FROM:TO, as 10:15: a trace of these steps goes to WORKDIR/profile; '' for none.
    c.profile = ''
    if arg.preset == 'tiny':
        tiny(c)
    return c


def _optimizer() -> ConfigDict:
    c = ConfigDict()
    c.name = 'sgd'
    c.learning_rate = 0.1
    c.momentum = 0.9
    c.nesterov = False
    c.beta1 = 0.9
    c.beta2 = 0.999
    c.epsilon = 1e-8
    c.weight_decay = 1e-4
    # Whether biases and normalisation scales decay too, as in the papers.
    c.decay_vectors = True
    c.clip_norm = 0.0
    c.accumulate_steps = 1
    c.ema_decay = 0.0
    # A regular expression over parameter paths (conv2_1/conv1/kernel): what it finds stays as it is.
    c.freeze = ''
    # Learning rates by path: 'conv.*=0.1,fc=2'.
    c.rates = ''
    return c


def _schedule() -> ConfigDict:
    c = ConfigDict()
    c.name = 'cosine'
    c.warmup_epochs = 0.0
    c.milestones = (30.0, 60.0, 80.0)
    c.factor = 0.1
    c.decay_epochs = 1.0
    c.final_fraction = 0.0
    return c


def _augmentation(small: bool) -> ConfigDict:
    c = ConfigDict()
    # none, pad (zeros, then a random crop back), random (of the image resized to resize_min..resize_max, as AlexNet and
    # VGG), random_resized (Szegedy et al. 2015)
    c.crop = 'none' if small else 'random_resized'
    c.pad = 4
    c.min_area = 0.08
    c.resize_min = 256
    c.resize_max = 256
    c.flip = not small
    # AlexNet's PCA lighting, standard deviation; 0.1 in the paper.
    c.lighting = 0.0
    c.color_jitter = 0.0
    # A share of the colour circle, at most 0.5.
    c.hue = 0.0
    # none, trivial (TrivialAugment, Müller and Hutter 2021), or rand (RandAugment, Cubuk et al. 2019) with so many
    # operations of a strength of 0 to 30
    c.policy = 'none'
    c.policy_ops = 2
    c.policy_magnitude = 9
    c.random_erasing = 0.0
    c.mixup = 0.0
    c.cutmix = 0.0
    # With both on, the share of batches that take cutmix.
    c.mix_switch = 0.5
    # Every image, in evaluation too, cut to its objects' boxes first, with this share of the sides as a margin.
    c.box_crop = False
    c.box_margin = 0.1
    # Smaller images at first: '128@0.4,160@0.7' trains at 128 pixels for 0.4 of the steps, at 160 up to 0.7 of them,
    # and then at image_size. For networks that take any size.
    c.progressive = ''
    return c


def _evaluation() -> ConfigDict:
    c = ConfigDict()
    c.split = 'auto'
    c.every_epochs = 1.0
    c.batch_size = 0
    # The shorter side before the central crop of image_size; 0 for image_size / 0.875 on large images.
    c.resize = 0
    # center; ten_crop: corners, centre and their mirror images, probabilities averaged (AlexNet, section 4.1); dense:
    # the whole central square and its mirror image at each of `scales` (VGG, section 3.2, has whole rectangles)
    c.views = 'center'
    c.scales = ()
    # Batch norm's statistics recomputed over the training set before the final score, as the ResNet authors did.
    c.recompute_statistics = False
    return c


def _input() -> ConfigDict:
    c = ConfigDict()
    # As evaluation.split: train, train[:10%], or several of these, train+validation.
    c.train_split = 'train'
    # Channel means and deviations: dataset (as published), imagenet, half (0.5 each: torchvision's GoogLeNet weights),
    # caffe (0 to 255 less the mean: SqueezeNet's authors' weights), or computed (over this run's training images, a
    # fold's own in cross-validation)
    c.statistics = 'dataset'
    # auto, resident (the whole set on the device) or streaming
    c.mode = 'auto'
    c.resident_bytes = 2 * 1024**3
    # With mode=resident, random and random_resized crops are cut on the device, out of central squares stored at this
    # side; 0 for resize_max or image_size / 0.875. Streaming cuts them out of the whole images at full resolution.
    c.resident_size = 0
    # Whether streamed random crops that shrink are blurred first, as Pillow and torchvision do. Off, they are plainly
    # bilinear, as tf.image.resize has it by default and big_vision's inception_crop: a tenth less time on the host.
    c.antialias = True
    c.threads = 0
    c.max_bad_fraction = 0.01
    # Steps to one dispatch of a resident set; 0: 1 on the CPU, where convolutions in loops are slow, else 32.
    c.steps_per_dispatch = 0
    return c


# Networks whose own variant, 'paper', normalises responses.
RAW_PIXELS = ('alexnet', 'googlenet')


def raw_pixels(c: ConfigDict) -> None:
    """Pixels of 0 to 255 less their mean, as Caffe's networks with response normalisation read them.

    Their alpha of 1e-4 is felt beside such numbers alone; beside images of deviation one the response is a constant.
    """
    c.input.statistics = 'caffe'


def detection(c: ConfigDict, *, fit: str, max_boxes: int) -> None:
    """Makes a config one of detection: whole images on a canvas, and the section `detection`.

    Args:
      fit: how images come to the canvas.
      max_boxes: objects that an image has room for, in training and in scoring; the others are counted in the result.
    """
    c.task = 'detection'
    # stretch (both sides, as YOLO), letterbox (as large as it fits, the shape kept) or shortest (its shortest side, as
    # Fast R-CNN), on a canvas of so many pixels; 0 for image_size.
    c.canvas = ConfigDict({'fit': fit, 'height': 0, 'width': 0})
    # Of fit=shortest: that side, unless the longest would pass `longest`; 0 for the canvas's.
    c.canvas.shortest = 0
    c.canvas.longest = 0
    # Several shortest sides in place of one, of which training draws one for each image; the largest outside training.
    c.canvas.scales = ()
    # Of fit=stretch, in training: each edge moves by up to so much of the side, in or out.
    c.canvas.jitter = 0.0
    _proposals(c)
    c.detection = ConfigDict({'max_boxes': max_boxes})
    # An image has at most so many detections, each with a score above this; of two of a class that overlap by more than
    # nms_threshold the lesser is left out.
    c.detection.max_detections = 100
    c.detection.score_threshold = 0.001
    c.detection.nms_threshold = 0.5
    # Whether objects marked difficult are learnt, as by R-CNN and Fast R-CNN. They are never scored.
    c.detection.use_difficult = False
    # map_50's average precision: area (under the curve, VOC 2010 and later) or eleven_point (VOC 2007).
    c.evaluation.ap = 'area'
    c.checkpoint.best_metric = 'map_50'
    c.folds.kind = 'plain'


def most_boxes(dataset: str) -> int:
    """`max_boxes` for a data set: as many as an image of the published sets has, twice that for COCO's crowded ones."""
    return 4 if dataset == 'digit_scenes' else 128 if dataset.startswith('coco') else 64


def is_voc_2007(c: ConfigDict) -> bool:
    """Whether a config is tested on VOC 2007: trained on that year's images, or on 2012's too (`voc/2007+2012`)."""
    return c.dataset.startswith('voc/2007')


def voc_2007_protocol(c: ConfigDict) -> None:
    """As every paper has it: trained on "trainval", scored on `test` by eleven points. Leaves other data alone."""
    if is_voc_2007(c):
        c.input.train_split = 'train+validation'
        c.evaluation.split = 'test'
        c.evaluation.ap = 'eleven_point'


def caffe_rates(c: ConfigDict, variants: tuple[str, ...], more: str = '') -> None:
    """Biases learn twice as fast as weights (Fast R-CNN, section 2.3; every release's solver), without being decayed.

    Args:
      variants: those whose releases have it; other trunks learn at one rate.
      more: further rates, as in `optimizer.rates`.
    """
    c.optimizer.decay_vectors = False
    if c.model.variant in variants and not c.model.trunk:
        c.optimizer.rates = '/bias$=2' + (f',{more}' if more else '')


def _proposals(c: ConfigDict) -> None:
    """Where detectors that are given their regions get them from."""
    small = c.dataset == 'digit_scenes'
    # selective_search, or the workdir of a run of Faster R-CNN whose network proposes; '' for none. Found once for each
    # image and kept: beside the prepared data, or in that workdir.
    c.input.proposals = ''
    # An image has at most so many, the best first.
    c.input.max_proposals = 150 if small else 2000
    # input_pipeline/selective_search.py says what each means. For photographs R-CNN's release's fast mode; scenes of 96
    # pixels as they are, of which 150 regions overlap 99.6 % of the objects by half.
    c.input.search = ConfigDict({'mode': 'fast', 'width': 0 if small else 500, 'thresholds': (50.0, 100.0),
                                 'sigma': 0.8, 'min_side': 8.0 if small else 20.0,
                                 'min_region': 30 if small else 0})  # fmt: skip


def folds() -> ConfigDict:
    """The section of `--mode=cross_validate`."""
    c = ConfigDict()
    # plain, stratified, grouped, stratified_grouped, repeated, leave_one_group_out, rolling, expanding
    c.kind = 'stratified'
    c.count = 5
    c.repeats = 1
    # file_prefix:REGEX or id:REGEX over the examples' names, or a CSV file of id,group; by time: their times
    c.groups = ''
    # By time: distinct times left out between training and test.
    c.gap = 0
    # An earlier run's folds.json, for the same folds again.
    c.file = ''
    # Models a fold, differing in their seed; a fold's value is their mean.
    c.seeds = 1
    # Settings to compare: 'optimizer.learning_rate=0.05,0.1;optimizer.weight_decay=1e-4,5e-4'
    c.grid = ''
    # Inner folds, of each fold's training part, that choose between the settings; 0: the folds themselves do.
    c.inner = 0
    # The share of a fold's training part that chooses, among the weights at each evaluation, those that are tested.
    c.early_stopping = 0.0
    # best, or one_standard_error: the earliest in the grid within one standard error of the best
    c.rule = 'best'
    # Afterwards the chosen settings on the whole split, and one look at the test split.
    c.final = False
    # Look for images so alike that training on one flatters the score on the other.
    c.near_duplicates = True
    # stacked (all in one step), spread (a share a device), sequential; auto tries them
    c.layout = 'auto'
    # The most members to train together; 0 for all.
    c.at_once = 0
    return c


def sweep() -> ConfigDict:
    """The section of `--mode=sweep`."""
    c = ConfigDict()
    # What a trial is worth: checkpoint.best_metric on a part of the training split that is held out (`holdout`), or its
    # mean over the folds of the section `folds` (`cross_validate`). Never on the test split.
    c.objective = 'holdout'
    # The share held out, divided as folds.kind says.
    c.fraction = 0.2
    # tpe (Bergstra et al. 2011), random, or grid: every combination
    c.sampler = 'tpe'
    # Random trials before tpe's model.
    c.startup = 10
    # With grid: values of a range without a step.
    c.points = 4
    # none; median and hyperband (Li et al. 2018) stop trials that lag behind, at each evaluation or after each fold;
    # wilcoxon those whose folds are worse than the best trial's same folds
    c.pruner = 'none'
    # Trials asked for and trained together; 0: 8 on accelerators and for series, else 1.
    c.at_once = 0
    # Its name where one storage holds several; '' for the workdir's.
    c.study = ''
    return c


def search_space(trial) -> dict:
    """What `--mode=sweep` varies: values by their path in the config, asked of an Optuna trial.

    These three do not change the program, so that one compilation serves every trial, and several train as one.
    """
    return {
        'optimizer.learning_rate': trial.suggest_float('optimizer.learning_rate', 1e-3, 1.0, log=True),
        'optimizer.weight_decay': trial.suggest_float('optimizer.weight_decay', 1e-6, 1e-2, log=True),
        'loss.label_smoothing': trial.suggest_float('loss.label_smoothing', 0.0, 0.2),
    }


def small_images(arg: ConfigDict) -> bool:
    """Whether the images are so small that networks take their small-image stems."""
    return arg.dataset in SMALL_IMAGES or 0 < arg.image_size <= 64


def small_recipe(c: ConfigDict, *, epochs: float, learning_rate: float) -> None:
    """What the older networks take on small images: a warm-up, shifts by two pixels, mirror images but of digits."""
    c.epochs = epochs
    c.optimizer.learning_rate = learning_rate
    c.schedule.warmup_epochs = 1.0
    c.augmentation.crop = 'pad'
    c.augmentation.pad = 2
    c.augmentation.flip = c.dataset != 'mnist_5k'


def scenes_recipe(c: ConfigDict, *, epochs: float, batch_size: int, learning_rate: float, weight_decay: float,
                  evaluations: int) -> None:  # fmt: skip
    """What networks on digit_scenes share: AdamW with a warm-up, scenes shifted by up to 12 pixels."""
    c.epochs = epochs
    c.batch_size = batch_size
    c.optimizer.name = 'adamw'
    c.optimizer.learning_rate = learning_rate
    c.optimizer.weight_decay = weight_decay
    c.schedule.warmup_epochs = 1.0
    c.evaluation.every_epochs = epochs / evaluations
    # Digits are not mirrored; shifts are new scenes.
    c.augmentation.flip = False
    c.augmentation.crop = 'pad'
    c.augmentation.pad = 12


def tiny(c: ConfigDict) -> None:
    """Shrinks any config to seconds on two CPU cores: a quarter of an epoch in small batches, one evaluation."""
    c.epochs = 0.25
    c.batch_size = 32
    c.evaluation.every_epochs = 1000.0
    c.checkpoint.every_epochs = 1000.0
