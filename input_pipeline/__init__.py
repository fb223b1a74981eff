"""Data set name -> random-access source -> host transforms -> batches of uint8 images. Knows nothing of networks."""

from input_pipeline.evaluation import evaluation_batches
from input_pipeline.images import read_images
from input_pipeline.parts import SideBySide, evaluation_parts, train_parts
from input_pipeline.pipelines import Resident, Streaming
from input_pipeline.preparation import prepare
from input_pipeline.sources import describe, load
from input_pipeline.statistics import channel_statistics

__all__ = [
    'Resident', 'SideBySide', 'Streaming', 'channel_statistics', 'describe', 'evaluation_batches', 'evaluation_parts',
    'load', 'prepare', 'read_images', 'train_parts',
]  # fmt: skip
