"""Reading and writing other frameworks' weights, without them and without executing anything in a file."""

from cnn.weights.certify import certify
from cnn.weights.errors import MalformedWeightsError, MismatchedWeightsError, UnsafeWeightsError, WeightsError
from cnn.weights.transfer import from_arrays, load, save

__all__ = [
    'MalformedWeightsError',
    'MismatchedWeightsError',
    'UnsafeWeightsError',
    'WeightsError',
    'certify',
    'from_arrays',
    'load',
    'save',
]
