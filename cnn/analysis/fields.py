"""How an array inside a network sees the image: one `Axis` for each spatial axis of the image.

A `Field` is the tuple of them. Arrays that do not depend on the image (weights, constants) have the field None.
"""

import dataclasses
from collections.abc import Callable, Sequence

from cnn.analysis.windows import Interval, JumpMismatch, Window, hull


@dataclasses.dataclass(frozen=True)
class Axis:
    """How an array sees one axis of the image.

    Along dimension `dim` of the array, cell i sees `window.interval(i)`; every element sees `span` besides (all of an
    axis that was averaged away, say). `known` is False where what is seen depends on the data or has no rule; the
    stride of `window` holds even then, its extent does not.

    Where cells see different parts without a law (a flattened image, maps put side by side), `span` holds all of them:
    an upper bound, exact again behind the dense layer that follows.
    """

    dim: int | None = None
    window: Window | None = None
    span: Interval | None = None
    known: bool = True

    def collapse(self, cells: int) -> 'Axis':
        """After every element has seen all `cells` of `dim`."""
        seen = self.window.hull(cells) if self.window else None
        return Axis(span=hull(seen, self.span), known=self.known)

    def moved(self, dim: int, window: Window | None = None) -> 'Axis':
        """The same along another dimension of the array, or through another window."""
        return dataclasses.replace(self, dim=dim, window=window or self.window)


Field = tuple[Axis, ...]


def of_image(spatial_axes: int) -> Field:
    """The field of the image itself, `[B, spatial..., C]`: every cell sees itself."""
    return tuple(Axis(dim=1 + axis, window=Window()) for axis in range(spatial_axes))


def each(field: Field, change: Callable[[Axis], Axis]) -> Field:
    """Applies `change` to the axes that lie along a dimension of the array; the others stay."""
    return tuple(change(axis) if axis.window is not None else axis for axis in field)


def blur(fields: Sequence[Field | None]) -> Field | None:
    """An unknown field, or None where none of `fields` depends on the image."""
    seen = next((field for field in fields if field is not None), None)
    return None if seen is None else tuple(Axis(known=False) for _ in seen)


def join(*fields: Field | None) -> Field | None:
    """The field of arrays combined element by element."""
    fields = [field for field in fields if field is not None]
    if not fields:
        return None
    return tuple(_join_axes(axes) for axes in zip(*fields, strict=True))


def _join_axes(axes: Sequence[Axis]) -> Axis:
    known = all(axis.known for axis in axes)
    span = hull(*(axis.span for axis in axes))
    mapped = [axis for axis in axes if axis.window is not None]
    if not mapped:
        return Axis(span=span, known=known)
    if len({axis.dim for axis in mapped}) > 1:
        return Axis(known=False)
    window = mapped[0].window
    try:
        for axis in mapped[1:]:
            window = window.join(axis.window)
    except JumpMismatch:
        return Axis(known=False)
    return Axis(mapped[0].dim, window, span, known)
