"""Selective search: boxes around what neighbouring pixels grow into, of any class (Uijlings et al. 2013, IJCV 104).

An image is divided into small regions (Felzenszwalb and Huttenlocher 2004), and the two neighbours most alike are
merged until one is left; the box around every region on the way is a proposal. Several colour spaces, thresholds and
measures of likeness give several such hierarchies. The work is done by OpenCV's contributed module ximgproc.
"""

import dataclasses
import math

import cv2
import numpy as np

from input_pipeline.decode import decode
from input_pipeline.randomness import uniforms

MODES = ('fast', 'quality')
# Measures of likeness by mode, each a sum (section 3.2 of the paper).
_ALIKE = {
    'fast': (('Color', 'Fill', 'Texture', 'Size'), ('Fill', 'Texture', 'Size')),
    'quality': (('Color', 'Fill', 'Texture', 'Size'), ('Fill', 'Texture', 'Size'), ('Fill',), ('Size',)),
}


@dataclasses.dataclass(frozen=True)
class SelectiveSearch:
    """`SelectiveSearch(...)(image)`; the same boxes for the same pixels, in every process.

    Attributes:
      mode: 'fast', two colour spaces and two measures of likeness; or 'quality', five and four.
      width: images are resized to this width first, 500 pixels in R-CNN's release; 0 leaves them as they are.
      thresholds: of the first regions, of which larger ones leave fewer. The release has 50 and 100 in its fast mode.
      sigma: of the blur before that.
      min_side: boxes with a shorter side, in pixels of the resized image, are left out.
      min_region: pixels of the smallest first region; 0 for its threshold, as in the release.

    Raises:
      ValueError: an unknown mode, or a number out of its range.
    """

    mode: str = 'fast'
    width: int = 500
    thresholds: tuple[float, ...] = (50.0, 100.0)
    sigma: float = 0.8
    min_side: float = 20.0
    min_region: int = 0

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f'selective search has the modes {" and ".join(MODES)}, not {self.mode!r}')
        for name, values in (('thresholds', self.thresholds), ('sigma', (self.sigma,))):
            if not values or not all(math.isfinite(value) and value > 0 for value in values):
                raise ValueError(f'{name} of selective search must be above 0, not {values}')
        if min(self.width, self.min_side, self.min_region) < 0:
            raise ValueError('width, min_side and min_region of selective search must not be negative')

    def __call__(self, image: bytes | np.ndarray) -> np.ndarray:
        """Proposals of an image, best first.

        OpenCV ranks boxes by C's rand(), which no seed of OpenCV's reaches: here those that more of the hierarchies
        found come first, and among equals the order is shuffled, always alike. Of 149 objects in 24 photographs of
        COCO, the first 300 find 54 % so and 38 % in OpenCV's order, which begins with small ones.

        Args:
          image: as `decode.decode` takes it.

        Returns:
          float32 `[n, 4]`, x0, y0, x1, y1 in 0..1 of the upright image, no two alike.

        Raises:
          UnreadableError: as `decode.decode`.
        """
        pixels = np.ascontiguousarray(decode(image)[..., ::-1])
        if self.width and self.width != pixels.shape[1]:
            height = max(1, round(pixels.shape[0] * self.width / pixels.shape[1]))
            pixels = cv2.resize(pixels, (self.width, height))
        found = [self._grown(space, threshold) for space in self._spaces(pixels) for threshold in self.thresholds]
        boxes, votes = np.unique(np.concatenate(found), axis=0, return_counts=True)
        order = np.lexsort((uniforms(0, np.arange(len(boxes)), 1)[:, 0], -votes))
        order = order[(boxes[order, 2:] >= self.min_side).all(1)]
        corners = np.concatenate([boxes[order, :2], boxes[order, :2] + boxes[order, 2:]], 1)
        return (corners / np.tile(pixels.shape[1::-1], 2)).astype(np.float32)

    def _spaces(self, pixels: np.ndarray) -> list[np.ndarray]:
        """The image, uint8 `[H, W, 3]` in OpenCV's order of colours, in the mode's colour spaces."""
        hsv, lab = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV), cv2.cvtColor(pixels, cv2.COLOR_BGR2Lab)
        if self.mode == 'fast':
            return [hsv, lab]
        grey, red, green = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), pixels[..., 2], pixels[..., 1]
        return [hsv, lab, np.stack([red, green, grey], -1), np.ascontiguousarray(hsv[..., 0]), grey]

    def _grown(self, space: np.ndarray, threshold: float) -> np.ndarray:
        """Boxes left, top, width, height of the hierarchies over one division into first regions: int32 `[n, 4]`."""
        make = cv2.ximgproc.segmentation
        first = make.createGraphSegmentation(self.sigma, threshold, self.min_region or max(1, round(threshold)))
        search = make.createSelectiveSearchSegmentation()
        search.addImage(space)
        search.addGraphSegmentation(first)
        for names in _ALIKE[self.mode]:
            parts = [getattr(make, f'createSelectiveSearchSegmentationStrategy{name}')() for name in names]
            search.addStrategy(make.createSelectiveSearchSegmentationStrategyMultiple(*parts))
        return search.process()
