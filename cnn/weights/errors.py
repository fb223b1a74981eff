"""What can be wrong with a file of weights. All are `ValueError`s: one line and exit code 2."""


class WeightsError(ValueError):
    """Base of everything that this package refuses."""


class MalformedWeightsError(WeightsError):
    """The file is damaged, truncated, inconsistent or of a kind that is not read here."""


class UnsafeWeightsError(WeightsError):
    """The file asks for something to be imported or called that plain tensors do not need."""


class MismatchedWeightsError(WeightsError):
    """The file is sound, but it holds other names or shapes than the network."""
