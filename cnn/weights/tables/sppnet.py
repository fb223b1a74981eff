"""SPPNet: as R-CNN. Its fc6 is that of a classifier whose last map is a pyramid too (zf, variant SPP)."""

from cnn.weights.tables.rcnn import HEADS, STEM, STYLES, canonical, ignorable, image_size, place

__all__ = ['HEADS', 'STEM', 'STYLES', 'canonical', 'ignorable', 'image_size', 'place']
