"""Downloads, verifies and prepares a data set of the catalogue as ArrayRecord, once, through tfds."""

import contextlib
import os
import pathlib
import shutil
import socket
import sys
import urllib.parse
import urllib.request

from input_pipeline import datasets, file_lock, prepared
from input_pipeline.prepared import config_name, root_folder
from input_pipeline.tensorflow_free import shim


def prepare(name: str, data_dir: str = '', manual_dir: str = '') -> str:
    """Prepares a data set; returns its folder. What is prepared already is left as it is.

    A file in `manual_dir` that is called as an archive on the server is used in its stead, checked against the same
    checksum: put all of them there to prepare offline. An interrupted preparation leaves nothing behind that a later
    one would mistake for data; a second one at the same time waits for the first and finds its work done.

    Args:
      name: a catalogue name, `/CONFIG` included where wanted.
      data_dir: where prepared data goes; empty for tfds's default.
      manual_dir: where archives fetched by hand lie.

    Raises:
      ValueError: nothing to prepare, a wrong checksum, a missing archive, no network, a damaged archive: one line.
    """
    info = _preparable(name)
    root = root_folder(data_dir)
    root.mkdir(parents=True, exist_ok=True)
    with file_lock.held(root / f'.prepare_{info.name.replace("/", "_")}.lock'):
        with contextlib.suppress(ValueError):
            return str(prepared.find(info, data_dir))
        absent = [name for name in info.manual if not (pathlib.Path(manual_dir) / name).is_file()]
        if absent:
            where = manual_dir or 'manual_dir, which is not given'
            raise ValueError(f'{info.name} needs {" and ".join(absent)} from {info.manual_origin} in {where}')
        _remove_leftovers(root / info.tfds_name / config_name(info))
        with _builder(info, root) as builder:
            _check_reachable(builder, info, root, manual_dir)
            _run(builder, info, manual_dir)
        return str(prepared.find(info, data_dir))


def archives(name: str) -> dict[str, int]:
    """What preparing a data set downloads, or takes from `manual_dir`: file name -> size in bytes. Reads no data."""
    with _builder(_preparable(name), root_folder('')) as builder:
        return {filename: size for _, filename, size in _wanted(builder)}


def _wanted(builder) -> list[tuple[str, str, int]]:
    """Address, file name and size in bytes of all that a builder downloads."""
    recorder = _Recorder()
    # It fails as soon as it looks into what it asked for; the asking is what we are after.
    with contextlib.suppress(Exception):
        for _ in builder._split_generators(recorder):
            pass
    known = builder.url_infos or {}
    found = [(url, known[url]) for url in recorder.urls if url in known]
    return [(url, what.filename or pathlib.Path(url).name, int(what.size)) for url, what in found]


def _check_reachable(builder, info: datasets.DatasetInfo, root: pathlib.Path, manual_dir: str) -> None:
    """Finds in a moment what tfds finds after minutes of trying again: that there is no network.

    Raises:
      ValueError: naming the files that would have to lie in `manual_dir`.
    """
    held = set(os.listdir(manual_dir)) if manual_dir and os.path.isdir(manual_dir) else set()
    absent = [(url, file) for url, file, _ in _wanted(builder) if file not in held]
    if urllib.request.getproxies() or any((root / 'downloads').glob('*')):
        return  # a proxy may know a way; what was downloaded before is not downloaded again
    for url, _ in absent:
        host = urllib.parse.urlsplit(url)
        try:
            port = host.port or (443 if host.scheme == 'https' else 80)
            socket.create_connection((host.hostname, port), timeout=20).close()
        except OSError as error:
            files, where = ', '.join(file for _, file in absent), manual_dir or 'a manual_dir'
            why = error.strerror or str(error)
            raise ValueError(
                f'{info.name}: {host.hostname} cannot be reached ({why}); offline, put {files} into {where}'
            ) from error


class _Recorder:
    """Stands in for tfds's download manager and notes the addresses it is asked for."""

    manual_dir = pathlib.Path('/nonexistent')

    def __init__(self):
        self.urls: list[str] = []

    def download(self, urls):
        if isinstance(urls, dict):
            return {key: self.download(url) for key, url in urls.items()}
        if isinstance(urls, list | tuple):
            return [self.download(url) for url in urls]
        self.urls += [] if urls in self.urls else [urls]
        return '/nonexistent/download'

    download_and_extract = download

    def extract(self, path):
        return path

    def iter_archive(self, path):
        return iter(())


def _preparable(name: str) -> datasets.DatasetInfo:
    if datasets.is_path(name):
        raise ValueError(f'{name} needs no preparing: it is read as it lies')
    info = datasets.info(name)
    if not info.tfds_name:
        raise ValueError(f'{name} needs no preparing: it is embedded')
    return info


@contextlib.contextmanager
def _builder(info: datasets.DatasetInfo, root: pathlib.Path):
    """The tfds builder, usable without TensorFlow inside this context."""
    import tensorflow_datasets as tfds

    cls = tfds.builder_cls(info.tfds_name)
    with shim():
        yield cls(data_dir=str(root), config=config_name(info) or None, file_format='array_record')


def _run(builder, info: datasets.DatasetInfo, manual_dir: str) -> None:
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(manual_dir=manual_dir or None, try_download_gcs=False)
    try:
        builder.download_and_prepare(download_config=config)
    except Exception as error:
        raise ValueError(_explain(error, info, manual_dir)) from error


def _explain(error: Exception, info: datasets.DatasetInfo, manual_dir: str) -> str:
    """One line that says what to do about a failed preparation."""
    import requests
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.extractor import ExtractError

    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    where = manual_dir or 'the manual_dir'
    if isinstance(error, NonMatchingChecksumError):
        return f'{info.name}: {lines[0]} Nothing was prepared; fetch the file again. {" ".join(lines[1:4])}'
    if isinstance(error, ExtractError):
        return f'{info.name}: damaged archive: {lines[0]}'
    if isinstance(error, requests.RequestException | ConnectionError):
        return f'{info.name}: no connection ({lines[0]}); offline, put the archives into {where}'
    if isinstance(error, OSError) and 'disk space' in str(error):
        return f'{info.name}: {lines[0]}'
    return f'{info.name} could not be prepared: {type(error).__name__}: {lines[0]}'


def _remove_leftovers(base: pathlib.Path) -> None:
    """Removes what killed preparations left; the lock says that none is running."""
    for path in base.glob('incomplete.*'):
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(base)
