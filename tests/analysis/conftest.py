"""Networks traced once for all tests of this folder."""

import functools

import pytest

from cnn import models
from cnn.analysis.graph import trace


@pytest.fixture(scope='session')
def traced():
    """`traced(name, size, **sizes)`: the graph of a 1000-way network on one image of size x size x 3."""

    @functools.cache
    def graph(name, size, **sizes):
        return trace(models.create(name, num_classes=1000, **sizes), (size, size, 3))

    return graph
