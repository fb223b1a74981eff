"""Tests run on the CPU, on four virtual devices, with cheap compilation: numerics do not need optimised code."""

import gc
import os
import pathlib

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ['MPLBACKEND'] = 'agg'

import jax
import pytest

from tests.report import browser

# The fast path of XLA:CPU matters to users, not to tests: unoptimised code compiles three times faster. Without its
# emitters of fusions tests/ops would take half the time, but programs that should agree to the bit round differently.
os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_backend_optimization_level=0'
jax.config.update('jax_num_cpu_devices', 4)

SHARED = pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'data'


def pytest_collection_modifyitems(config, items):
    """Deselects, with a printed reason, the tests that need what a user's machine does not have: the real data, or a
    browser."""
    missing = {}
    if not SHARED.is_dir():
        missing['shared_data'] = 'the real data of ../shared/data'
    if browser.path() is None:
        missing['browser'] = 'Chromium (Debian: apt-get install chromium)'
    for fixture, what in missing.items():
        needing = [item for item in items if fixture in item.fixturenames]
        if needing:
            print(f'{len(needing)} tests deselected: they need {what}, absent here')
            config.hook.pytest_deselected(items=needing)
            items[:] = [item for item in items if item not in needing]


@pytest.fixture(scope='module', autouse=True)
def _forget_programs():
    """A file's compiled programs go with it: thousands of them make a process of five gigabytes."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope='session')
def shared_data() -> pathlib.Path:
    """The folder of real images and weights beside the checkout."""
    return SHARED
