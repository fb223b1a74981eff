"""Flips and crops that move an example's image, boxes and mask together.

An example is a dict of arrays with a leading axis B: `image` `[B, H, W, C]` of any dtype and, where the task has them,
`boxes` float32 `[B, N, 4]` (x0, y0, x1, y1 in pixels) with `box_labels` int32 `[B, N]`, and `segmentation` uint8 or
int32 `[B, H, W]`. What else it holds passes through. Rows of `boxes` without area are padding, zeros with label -1, and
stay so. A crop keeps the boxes whose centre it shows, cut off at its border; the others become padding. Pixels from
outside an image are 0, and IGNORED in the mask.
"""

import jax
import jax.numpy as jnp
from jax import lax

from cnn.ops import keys, resample

Example = dict[str, jax.Array]
IGNORED = 255
PADDING = -1


def random_flip(key: jax.Array, example: Example, row: jax.Array, *, probability: float = 0.5) -> Example:
    """Mirrors each example left to right with the given probability."""
    chosen = keys.uniforms(key, row, 1)[:, 0] < probability
    width = example['image'].shape[2]

    def move(array):
        return jnp.where(chosen.reshape(-1, *(1,) * (array.ndim - 1)), jnp.flip(array, 2), array)

    def move_boxes(boxes):
        mirrored = jnp.stack([width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]], -1)
        return jnp.where(chosen[:, None, None], mirrored, boxes)

    return _moved(example, image=move, mask=move, boxes=move_boxes)


def pad_and_crop(key: jax.Array, example: Example, row: jax.Array, *, pad: int) -> Example:
    """Pads each side with `pad` pixels and cuts the original size back out at a random place.

    The augmentation of small images in He et al. 2016 (arXiv:1512.03385, section 4.2), with pad 4. Every offset from 0
    to 2 `pad` is equally likely in both directions.
    """
    offsets = jax.vmap(lambda k: jax.random.randint(k, (2,), 0, 2 * pad + 1))(keys.per_example(key, row))

    def move(array, fill=0):
        pads = ((0, 0), (pad, pad), (pad, pad), *((0, 0),) * (array.ndim - 3))
        padded = jnp.pad(array, pads, constant_values=fill)

        def cut(one, offset):
            return lax.dynamic_slice(one, (*offset, *(0,) * (one.ndim - 2)), array.shape[1:])

        return jax.vmap(cut)(padded, offsets)

    def move_boxes(boxes):
        return boxes + jnp.tile(pad - offsets[:, ::-1], 2)[:, None].astype(boxes.dtype)

    return _moved(example, image=move, mask=lambda mask: move(mask, IGNORED), boxes=move_boxes)


def crop_and_resize(example: Example, windows: jax.Array, *, height: int, width: int) -> Example:
    """Cuts a window (windows.py) out of each example and resizes it: images antialiased, masks by nearest pixel.

    Args:
      windows: top, left, height and width in whole pixels, float32 `[B, 4]`, inside the image.
      height, width: of what comes out.
    """
    top, left, tall, wide = jnp.moveaxis(windows, 1, 0)

    def move(images):
        return resample.crop_and_resize(images, windows, height=height, width=width)

    def move_mask(masks):
        rows = _nearest(top, tall, height)
        columns = _nearest(left, wide, width)
        return jax.vmap(lambda mask, y, x: mask[y[:, None], x[None]])(masks, rows, columns)

    def move_boxes(boxes):
        start, scale = jnp.stack([left, top] * 2, -1), jnp.stack([width / wide, height / tall] * 2, -1)
        return (boxes - start[:, None]) * scale[:, None]

    return _moved(example, image=move, mask=move_mask, boxes=move_boxes)


def resize(example: Example, *, height: int, width: int) -> Example:
    """Whole examples at another size; one of this size already stays as it is."""
    old_height, old_width = example['image'].shape[1:3]
    if (old_height, old_width) == (height, width):
        return example

    def move(images):
        return resample.resize(images, height=height, width=width)

    def move_mask(masks):
        rows = _nearest(jnp.zeros(1), jnp.full(1, old_height), height)[0]
        columns = _nearest(jnp.zeros(1), jnp.full(1, old_width), width)[0]
        return masks[:, rows[:, None], columns[None]]

    def move_boxes(boxes):
        return boxes * jnp.asarray([width / old_width, height / old_height] * 2, boxes.dtype)

    return _moved(example, image=move, mask=move_mask, boxes=move_boxes)


def _nearest(start: jax.Array, length: jax.Array, size: int) -> jax.Array:
    """The pixel under each centre of the `size` pixels that a window becomes: int32 `[B, size]`."""
    place = start[:, None] + (jnp.arange(size) + 0.5) * (length[:, None] / size)
    return jnp.clip(jnp.floor(place), start[:, None], (start + length - 1)[:, None]).astype(jnp.int32)


def _moved(example: Example, *, image, mask, boxes) -> Example:
    moved = {**example, 'image': image(example['image'])}
    if 'segmentation' in example:
        moved['segmentation'] = mask(example['segmentation'])
    if 'boxes' in example:
        height, width = moved['image'].shape[1:3]
        limit = jnp.asarray([width, height] * 2, jnp.float32)
        there = boxes(example['boxes'])
        inside = jnp.clip(there, 0.0, limit)
        centre = (there[..., :2] + there[..., 2:]) / 2
        shown = (centre >= 0).all(-1) & (centre <= limit[:2]).all(-1) & _has_area(inside) & _has_area(example['boxes'])
        moved['boxes'] = jnp.where(shown[..., None], inside, 0.0)
        if 'box_labels' in example:
            moved['box_labels'] = jnp.where(shown, example['box_labels'], PADDING)
    return moved


def _has_area(boxes: jax.Array) -> jax.Array:
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
