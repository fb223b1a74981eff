"""`--mode=prepare`: downloads (or takes from `config.manual_dir`), verifies and prepares the config's data set."""

import pathlib
import shutil

from input_pipeline import datasets, preparation, prepared


def run(config, _workdir: pathlib.Path, _flags=None) -> str | None:
    """Says what it will cost, then prepares; returns the (last) prepared folder, or None for nothing to prepare."""
    if datasets.is_path(config.dataset) or not datasets.info(config.dataset).tfds_name:
        print(f'{config.dataset} needs no preparation')
        return None
    names = datasets.parts(config.dataset)
    sizes = {file: size for name in names for file, size in preparation.archives(name).items()}
    root = prepared.root_folder(config.data_dir)
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    for name, size in sizes.items():
        print(f'  {name}: {_megabytes(size)}')
    # Archives, what they unpack to, and the records made of it.
    print(f'{config.dataset}: {_megabytes(sum(sizes.values()))} to fetch, about three times that on disk in {root}; '
          f'{_megabytes(free)} are free')  # fmt: skip
    print(f'licence: {datasets.info(config.dataset).licence}')
    for name in names:
        folder = preparation.prepare(name, config.data_dir, config.manual_dir)
        print(f'{name} is prepared in {folder}')
    return folder


def _megabytes(size: int) -> str:
    return f'{size / 1e9:.1f} GB' if size >= 1e9 else f'{size / 1e6:.1f} MB'
