"""Data set name -> random-access source -> host transforms -> batches of uint8 images. Knows nothing of networks."""

from input_pipeline.evaluation import evaluation_batches
from input_pipeline.images import read_images
from input_pipeline.pipelines import Resident, Streaming
from input_pipeline.preparation import prepare
from input_pipeline.sources import load
from input_pipeline.statistics import channel_statistics

__all__ = ['Resident', 'Streaming', 'channel_statistics', 'evaluation_batches', 'load', 'prepare', 'read_images']
