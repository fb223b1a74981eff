"""A colour for each class of a mask, and pixels painted with them."""

import colorsys

import numpy as np

# Okabe and Ito's (2008) without black and grey, then darker and paler ones between them.
_FIRST = (
    (230, 159, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66),
    (128, 62, 160), (140, 86, 45), (120, 190, 32), (220, 20, 90), (20, 60, 110), (255, 187, 160), (90, 110, 20),
)  # fmt: skip
# Of pixels that no class claims.
VOID = (255, 255, 255)
BACKGROUND = (40, 40, 40)


def of(names) -> np.ndarray:
    """uint8 `[C, 3]`, a colour for each class name; 'background', 'void' and the like are dark."""
    colours, used = [], 0
    for name in names:
        if is_background(name):
            colours.append(BACKGROUND)
            continue
        if used < len(_FIRST):
            colours.append(_FIRST[used])
        else:
            # Steps of the golden ratio around the circle never meet.
            hue, turn = (used * 0.618034) % 1, used // len(_FIRST)
            rgb = colorsys.hsv_to_rgb(hue, 0.55 + 0.3 * (turn % 2), 0.6 + 0.3 * (turn // 2 % 2))
            colours.append(tuple(round(255 * channel) for channel in rgb))
        used += 1
    return np.array(colours, np.uint8).reshape(-1, 3)


def is_background(name) -> bool:
    """Whether a class is what lies behind the others, so that it is not painted."""
    return str(name).lower() in ('background', 'bg', 'void', 'unlabelled', 'unlabeled')


def paint(image: np.ndarray, mask: np.ndarray, names, *, strength: float = 0.65) -> np.ndarray:
    """uint8 `[H, W, 3]`: the image with each pixel tinted by its class in `mask` `[H, W]`.

    The background stays as it is; pixels of no class (255) are paled, and outlines are drawn between classes.
    """
    image, mask = np.asarray(image, np.float32), np.asarray(mask)
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, -1)
    classes = len(names)
    table = np.full((256, 3), VOID, np.float32)
    table[:classes] = of(names)
    weight = np.full(256, 0.8, np.float32)
    weight[:classes] = [0.0 if is_background(name) else strength for name in names]
    share = weight[mask][..., None]
    painted = image * (1 - share) + table[mask] * share
    edge = np.zeros(mask.shape, bool)
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    if min(mask.shape) >= 200:
        painted[edge] = table[np.where(mask == 255, 255, mask)][edge] * 0.5
    return painted.round().astype(np.uint8)
