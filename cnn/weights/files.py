"""Files of named arrays by their suffix, and the wrappings that training scripts put around a state dict."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from cnn.weights.errors import MalformedWeightsError, WeightsError
from cnn.weights.numpy_pickle import read_numpy_pickle
from cnn.weights.pth import read_pth
from cnn.weights.pth_writer import write_pth

TORCH_SUFFIXES = ('.pth', '.pt', '.th', '.tar', '.bin', '.ckpt')
# Where training scripts keep the state dict among epochs and optimizers, and what wrappers put before every name.
WRAPPERS = ('state_dict', 'model', 'model_state_dict', 'net', 'params')
PREFIXES = ('module.', '_orig_mod.')


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The named arrays of a `.safetensors`, PyTorch or `.pkl` file, unwrapped, without counters of batches.

    Raises:
      WeightsError: an unknown suffix, a damaged or unsafe file, or one that holds no named arrays.
      OSError: the file cannot be opened.
    """
    path = pathlib.Path(path)
    if path.suffix == '.safetensors':
        tree = _read_safetensors(path)
    elif path.suffix in TORCH_SUFFIXES:
        tree = read_pth(path)
    elif path.suffix == '.pkl':
        tree = read_numpy_pickle(path)
    else:
        raise WeightsError(f'{path.name}: weights come as .safetensors, {", ".join(TORCH_SUFFIXES)} or .pkl')
    arrays = unwrap(tree)
    if not arrays:
        raise MalformedWeightsError(f'{path.name}: no named arrays in it')
    return arrays


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes `.safetensors` or `.pth` / `.pt` / `.th`; the file appears whole or not at all.

    Raises:
      WeightsError: another suffix.
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix == '.safetensors':
        part = path.with_name(path.name + '.part')
        try:
            contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
            # The tag by which other libraries know PyTorch's axis order.
            part.write_bytes(safetensors.numpy.save(contiguous, metadata={'format': 'pt'}))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    elif path.suffix in ('.pth', '.pt', '.th'):
        write_pth(path, arrays)
    else:
        raise WeightsError(f'{path.name}: weights are written as .safetensors, .pth, .pt or .th')


def unwrap(tree: Any) -> dict[str, np.ndarray]:
    """The state dict inside a training checkpoint, with `module.` and the like taken off its names."""
    while isinstance(tree, dict) and (inner := next((k for k in WRAPPERS if isinstance(tree.get(k), dict)), None)):
        tree = tree[inner]
    if not isinstance(tree, dict):
        return {}
    # Ports of Caffe's files keep a layer's kernel and bias in one list.
    for name, pair in list(tree.items()):
        if isinstance(pair, list | tuple) and len(pair) == 2:
            tree = tree | {f'{name}.weight': pair[0], f'{name}.bias': pair[1]}
    arrays = {k: np.asarray(v) for k, v in tree.items() if isinstance(k, str) and hasattr(v, 'dtype')}
    while arrays and (prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in arrays)), None)):
        arrays = {k.removeprefix(prefix): v for k, v in arrays.items()}
    return {k: v for k, v in arrays.items() if not k.endswith('num_batches_tracked')}


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise MalformedWeightsError(f'{path.name}: {error}') from error
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedWeightsError(f'{path.name}: an array of a dtype that NumPy lacks: {error}') from error
