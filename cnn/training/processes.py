"""Agreement between the processes of one run; free of charge where there is only one."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def is_first() -> bool:
    """True in the one process that writes files."""
    return jax.process_index() == 0


def from_first(decide: Callable[[], Any]) -> Any:
    """The JSON value that process 0 decided on, in every process; its ValueError or OSError is raised in all.

    Every process must call it, at the same point of the program. It is a barrier too: what process 0 wrote to the
    shared folder in `decide` is there for the others when it returns.
    """
    if jax.process_count() == 1:
        return decide()
    from jax.experimental import multihost_utils

    answer: dict[str, Any] = {}
    if is_first():
        try:
            answer = {'value': decide()}
        except (ValueError, OSError) as error:
            answer = {'error': str(error), 'mistake': isinstance(error, ValueError)}
    payload = np.frombuffer(json.dumps(answer).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(payload.size)))
    buffer = np.zeros(size, np.uint8)
    if is_first():
        buffer[:] = payload
    answer = json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(buffer))))
    if 'error' in answer:
        raise (ValueError if answer['mistake'] else OSError)(answer['error'])
    return answer['value']


def all_agree(fine: bool) -> bool:
    """True where every process says so. Every process must call it."""
    if jax.process_count() == 1:
        return fine
    from jax.experimental import multihost_utils

    return bool(np.all(multihost_utils.process_allgather(np.int32(fine))))
