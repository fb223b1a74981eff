"""Faster R-CNN: as Fast R-CNN."""

from cnn.weights.tables.fast_rcnn import HEADS, STEM, STYLES, canonical, ignorable, image_size, place

__all__ = ['HEADS', 'STEM', 'STYLES', 'canonical', 'ignorable', 'image_size', 'place']
