"""Where a result comes from: versions, devices, commit."""

import functools
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'grain', 'tensorflow-datasets')


def versions() -> dict[str, str]:
    """Python's version and those of the packages that numbers depend on, as far as they are installed."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def devices() -> dict[str, Any]:
    """What the run computes on: `platform`, `kind` and `count` of the devices, `processes`, and the host's `cpus`."""
    first = jax.devices()[0]
    return {
        'platform': first.platform,
        'kind': first.device_kind,
        'count': jax.device_count(),
        'processes': jax.process_count(),
        'cpus': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
    }


def commit(folder: str | os.PathLike | None = None) -> str:
    """The commit of the checkout that this code runs from, '+changes' added where tracked files differ from it.

    'unknown' where the code is no checkout or git is not at hand; never an error.
    """
    root = pathlib.Path(folder) if folder else pathlib.Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        command = ['git', '--no-optional-locks', '-C', str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        # Code installed somewhere inside another project's checkout must not be given that project's commit.
        if pathlib.Path(git('rev-parse', '--show-toplevel')).resolve() != root.resolve():
            return 'unknown'
        changed = git('status', '--porcelain', '--untracked-files=no')
        return git('rev-parse', 'HEAD') + ('+changes' if changed else '')
    except (OSError, subprocess.SubprocessError):
        return 'unknown'


def result(
    *,
    metrics: dict[str, Any],
    config: dict[str, Any],
    steps: int,
    wall_seconds: float,
    images_per_second: float,
    **more: Any,
) -> dict[str, Any]:
    """The content of `result.json` (DESIGN: the command line), for `log.write_json`."""
    return {
        'metrics': metrics,
        'config': config,
        'seed': config.get('seed'),
        'steps': steps,
        'wall_seconds': wall_seconds,
        'images_per_second': images_per_second,
        **_of_this_process(),
        **more,
    }


@functools.cache
def _of_this_process() -> dict[str, Any]:
    """What does not change while it runs, looked up once: hundreds of members may end in one process."""
    return {'versions': versions(), 'devices': devices(), 'commit': commit()}
