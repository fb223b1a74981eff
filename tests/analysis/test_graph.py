"""Tracing: loops, branches, inner functions and the names of what a network returns."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import lax

from cnn.analysis.graph import trace
from cnn.analysis.receptive_field import of_graph
from cnn.analysis.summary import summarize
from cnn.models import layers


class Body(nn.Module):
    """A parameter-free function as a module that takes no `train`."""

    body: object

    @nn.compact
    def __call__(self, x):
        return self.body(x)


def test_a_scan_multiplies_and_hides_what_it_sees():
    def body(x):
        kernel = jnp.ones((4, 4))
        return lax.scan(lambda carry, _: (carry @ kernel, None), x, length=5)[0]

    result = summarize(Body(body), (2, 3, 3, 4))
    assert result.macs == 5 * (2 * 3 * 3) * 4 * 4
    assert of_graph(trace(Body(body), (2, 3, 3, 4)))['output'].size == (None, None)


def test_branches_and_while_loops_are_unknown():
    grow = lambda x: lax.while_loop(lambda x: jnp.sum(x) < 10, lambda x: x + 1, x)  # noqa: E731
    choose = lambda x: lax.cond(jnp.sum(x) > 0, lambda x: x, lambda x: -x, x)  # noqa: E731
    for body in (grow, choose):
        assert of_graph(trace(Body(body), (8, 8, 1)))['output'].size == (None, None)


def test_inner_functions_are_seen_through():
    @jax.jit
    def inner(x):
        return jax.checkpoint(lambda x: nn.relu(x[:, 1:, 1:] - x[:, :-1, :-1]))(x)

    @jax.custom_vjp
    def outer(x):
        return inner(x)

    outer.defvjp(lambda x: (outer(x), None), lambda _, g: (g,))
    field = of_graph(trace(Body(outer), (8, 8, 1)))['output']
    assert (field.size, field.start) == ((2, 2), (0, 0))


def test_constants_see_nothing_and_are_left_out():
    fields = of_graph(trace(Body(lambda x: (x, {'grid': jnp.ones((8, 8))})), (8, 8, 1)))
    assert set(fields) == {'output'}


def test_outputs_go_by_their_own_names():
    class Pair(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            y = layers.Conv(2, 3, name='conv1')(x)
            return {'boxes': y, 'scores': y[..., 0]}, {'stem': y, 'levels': [x, y]}

    graph = trace(Pair(), (8, 8, 1))
    assert set(graph.outputs) == {'output/boxes', 'output/scores', 'stem', 'levels/0', 'levels/1'}
    assert graph.outputs['levels/0'][0].shape == (1, 8, 8, 1)
    assert [call.path for call in graph.calls] == ['', 'conv1']
    fields = of_graph(graph)
    assert fields['levels/0'].size == (1, 1)
    assert fields['conv1'].size == fields['stem'].size == fields['output/scores'].size == (3, 3)


def test_the_fast_forms_of_the_cpu_do_not_show():
    """Grouped and pointwise convolutions stay one operation each, whatever the backend prefers."""
    make = lambda x: layers.Conv(4, 1, 2)(layers.Conv(4, 3, groups=2)(layers.max_pool(x, 2, 2)))  # noqa: E731
    graph = trace(Body(make), (8, 8, 4))
    names = [step.primitive for step in graph.steps]
    assert names.count('conv_general_dilated') == 2
    assert names.count('reduce_window_max') == 1
    assert 'dot_general' not in names


@pytest.mark.parametrize('shape', [(8, 8), (1, 2, 8, 8, 1)])
def test_shapes_of_another_rank_are_refused(shape):
    with pytest.raises(ValueError, match='leave the batch out'):
        trace(Body(lambda x: x), shape)
