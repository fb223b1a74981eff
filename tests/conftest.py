"""Tests run on the CPU, on four virtual devices, with cheap compilation: numerics do not need optimised code."""

import os
import pathlib

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ['MPLBACKEND'] = 'agg'

import jax
import pytest

# The fast path of XLA:CPU matters to users, not to tests: unoptimised code compiles three times faster.
os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_backend_optimization_level=0'
jax.config.update('jax_num_cpu_devices', 4)

SHARED = pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'data'


def pytest_collection_modifyitems(config, items):
    """Deselects, with a printed reason, the tests that need the real data where a user's machine has none."""
    if SHARED.is_dir():
        return
    needing = [item for item in items if 'shared_data' in item.fixturenames]
    if needing:
        print(f'{len(needing)} tests deselected: they need the real data of ../shared/data, absent here')
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


@pytest.fixture(scope='session')
def shared_data() -> pathlib.Path:
    """The folder of real images and weights beside the checkout."""
    return SHARED
