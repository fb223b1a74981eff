"""The batches of a config: for training, for scoring, and once through a whole set."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

import input_pipeline
from cnn.experiments import initialise, proposing, recipe, settings, sources, tasks
from cnn.experiments.errors import UserError
from cnn.experiments.views import evaluation_transform, training_transform
from input_pipeline import ready, transforms


def train_pipeline(config, train, devices):
    """Batches for training: resident where the set fits and needs no random crop by the host, else streaming."""
    if ready.is_ready(train):
        return train_parts(config, train, [np.arange(len(train))], [config.seed], devices)[0]
    resident, options = _training(config, train, devices)
    kind = input_pipeline.Resident if resident else input_pipeline.Streaming
    return kind(with_proposals(config, train), seed=config.seed, **options)


def train_parts(config, source, parts, seeds, devices) -> list[Any]:
    """A training pipeline for each part (places in the source), which share what is resident."""
    if ready.is_ready(source):
        devices.check_batch(config.batch_size, parts=config.optimizer.accumulate_steps)
        return ready.train_parts(source, parts, seeds, **_ready(config, source, config.batch_size, devices))
    resident, options = _training(config, source, devices)
    return input_pipeline.train_parts(with_proposals(config, source), parts, seeds, resident=resident, **options)


def _training(config, source, devices) -> tuple[bool, dict[str, Any]]:
    """Whether training data is resident, and the options of its pipeline beside the seed."""
    transform = training_transform(config)
    devices.check_batch(config.batch_size, parts=config.optimizer.accumulate_steps)
    options = {
        'batch_size': config.batch_size,
        'host_transform': transform,
        **_shared(config, devices),
    }
    mode, limit = config.input.mode, config.input.resident_bytes
    if recipe.cut_on_device(config):
        options['host_transform'] = transform = transforms.evaluate(recipe.stored_size(config))
    sizes = (transform.image_size, limit, tasks.targets(config))
    fits = not transform.draws and input_pipeline.Resident.fits(source, *sizes)
    if mode == 'resident' and not fits:
        why = f'at {transform.image_size} pixels it needs over {limit} bytes'
        raise UserError(f'config.input.mode=resident does not suit {config.dataset}: {why}; use streaming')
    return mode == 'resident' or (mode == 'auto' and fits), options


def _shared(config, devices) -> dict[str, Any]:
    """The options that every pipeline of images takes."""
    return {
        'threads': config.input.threads,
        'max_bad_fraction': config.input.max_bad_fraction,
        'targets': tasks.targets(config),
        'process_index': devices.process_index,
        'process_count': devices.process_count,
    }


def _ready(config, source, batch_size: int, devices) -> dict[str, Any]:
    """The options of a pipeline over arrays (input_pipeline/ready.py)."""
    size, limit = ready.size_in_bytes(source), config.input.resident_bytes
    if config.input.mode == 'streaming' or size > limit:
        why = f'these take {size} bytes, over input.resident_bytes={limit}' if size > limit else 'use auto'
        raise UserError(f'config.input.mode={config.input.mode}: series stay on the device as a whole; {why}')
    place = {'process_index': devices.process_index, 'process_count': devices.process_count}
    return {'batch_size': batch_size, **place}


def plain_batches(config, source):
    """Every example of a source once, as evaluation sees it and without padding: for statistics over a whole set."""
    for batch in whole_set(config, source):
        real = batch['mask'] > 0
        yield {name: value[real] for name, value in batch.items()}


def whole_set(config, source):
    """Evaluation batches of all of a source, not of this process's share alone; iterate it as often as needed."""
    transform, size = evaluation_transform(config), config.evaluation.batch_size or config.batch_size
    options = {'batch_size': size, 'host_transform': transform, 'targets': tasks.targets(config),
               'threads': config.input.threads, 'max_bad_fraction': config.input.max_bad_fraction}  # fmt: skip
    return input_pipeline.evaluation_batches(with_proposals(config, source), **options)


def evaluation_pipeline(config, test, devices):
    """Batches that hold every example exactly once; iterate it as often as the set is scored."""
    if ready.is_ready(test):
        return evaluation_parts(config, test, [np.arange(len(test))], devices)[0]
    resident, options = _evaluation(config, test, devices)
    return input_pipeline.evaluation_batches(with_proposals(config, test), resident=resident, **options)


def evaluation_parts(config, source, parts, devices) -> list[Any]:
    """Evaluation batches of each part (places in the source), which share what is resident."""
    if ready.is_ready(source):
        size = settings.evaluation_batch(config, devices)
        return ready.evaluation_parts(source, parts, **_ready(config, source, size, devices))
    resident, options = _evaluation(config, source, devices)
    return input_pipeline.evaluation_parts(with_proposals(config, source), parts, resident=resident, **options)


def _evaluation(config, source, devices) -> tuple[bool, dict[str, Any]]:
    transform = evaluation_transform(config)
    resident = config.input.mode != 'streaming' and input_pipeline.Resident.fits(
        source, transform.image_size, config.input.resident_bytes, tasks.targets(config)
    )
    return resident, {
        'batch_size': settings.evaluation_batch(config, devices),
        'host_transform': transform,
        **_shared(config, devices),
    }


def measured(config, train, images: np.ndarray | None) -> Any:
    """The entry of a training source; with `input.statistics=computed`, with the statistics of its own images.

    Args:
      images: uint8 `[N, H, W, 3]`, where they are in memory already.
    """
    if config.task == 'forecasting':
        # Of each subject, and always of the training part: there are no published ones.
        mean, std = (tuple(values.tolist()) for values in train.statistics())
        return dataclasses.replace(train.info, mean=mean, std=std)
    if config.input.statistics != 'computed':
        return train.info
    batches = [{'image': images}] if images is not None else plain_batches(config, train)
    mean, std = input_pipeline.channel_statistics(batch['image'] for batch in batches)
    return dataclasses.replace(train.info, mean=mean, std=std)


def scored_info(config, workdir: pathlib.Path, source) -> Any:
    """The entry to score a source by: where training measured statistics, with those, not the source's own.

    Raises:
      UserError: the workdir's run had other subjects.
    """
    series = config.task == 'forecasting'
    if not series and config.input.statistics != 'computed':
        return source.info
    # Series are normalised by subject: what another run measured of its own says nothing of these.
    known = (workdir / sources.DATASET_FILE).is_file() if series else sources.recorded(config, workdir) is not None
    if not known:
        return measured(config, sources.train_source(config), None)
    found = sources.info(config, workdir)
    if series and found.class_names != source.info.class_names:
        raise UserError(f'{workdir} was trained on other subjects than {config.dataset} has; use a new workdir')
    return found


def with_proposals(config, source):
    """A source whose examples bring the proposals that `targets` asks for, found now where they are not yet."""
    if config.task != 'detection' or not config.input.proposals:
        return source
    return proposing.proposed(config, source, _proposing)


def finder(config) -> Any:
    """What finds an image's proposals (input_pipeline.proposals.Finder); None where the config asks for none."""
    return proposing.finder(config, _proposing) if config.input.proposals else None


def _proposing(run, workdir: pathlib.Path) -> proposing.ByNetwork:
    """The network of the run in a workdir as it proposes."""
    known = sources.info(run, workdir)
    learnt = tasks.task(run, known, None)
    variables, _ = initialise.trained(run, workdir, learnt, tasks.model(run, tasks.outputs(run, known)))
    return proposing.ByNetwork(run, learnt, variables, evaluation_transform(run))
