"""Networks traced once for all tests of this folder, and once with the claims that measure the same ones."""

import pytest

from cnn.analysis.notes_networks import network


@pytest.fixture(scope='session')
def traced():
    """`traced(name, size, **sizes)`: the graph of a 1000-way network on one image of size x size x 3."""
    return lambda name, size, **sizes: network(name, size, **sizes)[0]
