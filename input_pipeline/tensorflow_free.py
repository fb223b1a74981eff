"""Lets tfds prepare data sets on a machine without TensorFlow.

tfds imports TensorFlow lazily and, while it prepares, uses it for little: files, a few image codecs, and a dtype.
Inside `shim()` the modules that do so see a small stand-in for the name `tf`. TensorFlow itself stays what it is: the
stand-in is never put into `sys.modules`, where others would find it.
"""

import contextlib
import glob
import io
import os
import shutil
import sys
import types

import numpy as np
import PIL.Image

from input_pipeline.decode import decode


def _gfile() -> types.SimpleNamespace:
    """The calls of `tf.io.gfile` that tfds makes, on local files."""
    return types.SimpleNamespace(
        GFile=lambda path, mode='r': open(path, mode),
        listdir=os.listdir,
        walk=os.walk,
        exists=os.path.exists,
        isdir=os.path.isdir,
        glob=glob.glob,
        makedirs=lambda path: os.makedirs(path, exist_ok=True),
        rmtree=shutil.rmtree,
    )


class _Encoded(bytes):
    """Bytes with the method of an eager tensor."""

    def numpy(self) -> bytes:
        return bytes(self)


def encode_png(image: np.ndarray) -> bytes:
    """Lossless PNG of uint8 `[H, W, 1 | 2 | 3 | 4]` or uint16 `[H, W, 1]`."""
    image = np.asarray(image)
    buffer = io.BytesIO()
    PIL.Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, 'PNG')
    return _Encoded(buffer.getvalue())


def encode_jpeg(image: np.ndarray) -> bytes:
    """JPEG at TensorFlow's default quality of 95 of uint8 `[H, W, 1 | 3]`."""
    image = np.asarray(image)
    buffer = io.BytesIO()
    PIL.Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, 'JPEG', quality=95)
    return _Encoded(buffer.getvalue())


def decode_image(data: bytes) -> np.ndarray:
    """uint8 `[H, W, C]` of an encoded image, with as many channels as it has."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        image = image.convert('RGBA' if 'transparency' in image.info else 'RGB') if image.mode == 'P' else image
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _stand_in() -> types.SimpleNamespace:
    return types.SimpleNamespace(
        io=types.SimpleNamespace(gfile=_gfile(), encode_jpeg=encode_jpeg),
        compat=types.SimpleNamespace(as_text=lambda text: text.decode() if isinstance(text, bytes) else text),
        image=types.SimpleNamespace(decode_image=decode_image),
        shape=np.shape,
        int64=np.int64,
    )


def _to_rgb_jpeg(data: bytes, quality: int = 100) -> bytes:
    """A CMYK JPEG or a PNG as RGB JPEG: what tfds does to the few such files of ImageNet."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(decode(data)).save(buffer, 'JPEG', quality=quality)
    return buffer.getvalue()


@contextlib.contextmanager
def shim():
    """Within this context tfds's extractor and codecs, and the builders imported by then, need no TensorFlow."""
    from tensorflow_datasets.core import utils
    from tensorflow_datasets.core.download import extractor
    from tensorflow_datasets.core.features import image_feature

    def encode(self, image):
        image_feature._validate_np_array(image, shape=self.shape, dtype=self.np_dtype)
        return bytes(encode_png(image) if self.encoding_format == 'png' else encode_jpeg(image))

    replaced = [
        (image_feature._ImageEncoder, '_encode_image', encode),
        (utils, 'jpeg_cmyk_to_rgb', _to_rgb_jpeg),
        (utils, 'png_to_jpeg', _to_rgb_jpeg),
    ]
    for name, module in list(sys.modules.items()):
        core = name.startswith('tensorflow_datasets.core')
        if module is extractor or (name.startswith('tensorflow_datasets.') and not core and 'tf' in vars(module)):
            replaced.append((module, 'tf', _stand_in()))
    before = [(owner, name, vars(owner)[name]) for owner, name, _ in replaced]
    try:
        for owner, name, value in replaced:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
