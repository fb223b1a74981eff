"""The map is true: which room may import which, one place that names pmap, no cycles, no utils.py."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
THIRD = {'jax', 'flax', 'numpy', 'optax', 'orbax', 'scipy', 'sklearn', 'matplotlib', 'safetensors'}
# Room -> rooms of ours that it may import, beside itself.
EDGES = {
    'configs': set(),
    'input_pipeline': set(),
    'cnn.ops': set(),
    'cnn.models': {'cnn.ops'},
    'cnn.metrics': {'cnn.ops'},
    'cnn.tasks': {'cnn.models', 'cnn.ops', 'cnn.metrics', 'cnn.plots'},
    'cnn.training': {'cnn.tasks', 'cnn.metrics'},
    'cnn.plots': set(),
    'cnn.analysis': {'cnn.models', 'cnn.ops'},
    'cnn.weights': {'cnn.models'},
    'cnn.export': {'cnn.ops'},
    'cnn.report': {'cnn.analysis', 'cnn.metrics'},
    'cnn.experiments': {'cnn.tasks', 'cnn.models', 'cnn.ops', 'cnn.metrics', 'cnn.training', 'cnn.plots',
                        'cnn.analysis', 'cnn.weights', 'cnn.export', 'cnn.report', 'input_pipeline', 'configs'},
    'main': {'cnn.experiments'},
}  # fmt: skip
# Training sees the base protocols only.
BASES = {('cnn.training', 'cnn.tasks'): 'cnn.tasks.base', ('cnn.training', 'cnn.metrics'): 'cnn.metrics.base'}
FILES = [path for top in ('configs', 'input_pipeline', 'cnn') for path in sorted((ROOT / top).rglob('*.py'))]
FILES.append(ROOT / 'main.py')


def room(module: str) -> str:
    parts = module.split('.')
    return '.'.join(parts[:2]) if parts[0] == 'cnn' else parts[0]


def imports(path: pathlib.Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: imports here are absolute'
            names += [f'{node.module}.{alias.name}' for alias in node.names]
    return names


def name_of(path: pathlib.Path) -> str:
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = room(name_of(path))
    for target in imports(path):
        there = room(target)
        if there.split('.')[0] not in ('cnn', 'configs', 'input_pipeline', 'main') or there in (own, 'cnn'):
            continue
        assert there in EDGES[own], f'{own} may not import {target}'
        base = BASES.get((own, there))
        assert not base or target.startswith(base) or f'{there}.base' == target, f'{own} sees only {base}, not {target}'


def test_configs_need_ml_collections_only_and_ops_jax_only():
    for path in FILES:
        tops = {target.split('.')[0] for target in imports(path)}
        if room(name_of(path)) == 'configs':
            assert tops <= {'ml_collections', 'configs', 'difflib'}, path
        if room(name_of(path)) == 'cnn.ops':
            assert not tops & (THIRD - {'jax', 'numpy'}), path


def test_only_one_file_names_pmap():
    naming = [p for p in FILES if any('pmap' in ast.unparse(n) for n in ast.walk(ast.parse(p.read_text()))
                                      if isinstance(n, ast.Attribute))]  # fmt: skip
    assert [p.relative_to(ROOT).as_posix() for p in naming] == ['cnn/training/parallel.py']


def test_one_function_advances_an_optimizer():
    users = [p.relative_to(ROOT).as_posix() for p in FILES if 'apply_updates' in p.read_text()]
    assert users == ['cnn/training/step.py']


def test_there_is_no_cycle_between_files():
    graph = {name_of(path): set(imports(path)) for path in FILES}
    modules = set(graph)

    def edges(module):
        for target in graph[module]:
            hit = target if target in modules else target.rpartition('.')[0]
            # A package's __init__ that gathers its own files is no cycle among ideas.
            if hit in modules and hit != module and not module.startswith(f'{hit}.'):
                yield hit

    state: dict[str, int] = {}

    def visit(module, trail):
        assert state.get(module) != 1, f'cycle: {" -> ".join([*trail, module])}'
        if state.get(module) == 2:
            return
        state[module] = 1
        for target in edges(module):
            visit(target, [*trail, module])
        state[module] = 2

    for module in sorted(modules):
        visit(module, [])


def test_there_is_no_utils_file():
    assert not [p for p in FILES if p.stem in ('utils', 'util', 'helpers', 'misc')]
