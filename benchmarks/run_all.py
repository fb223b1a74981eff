"""Runs every benchmark and writes their tables to one page, with machine, versions, date and commit.

    python benchmarks/run_all.py                                  all of them, a night's work on two cores
    python benchmarks/run_all.py --only=convolutions,folds        these again; of the others what is kept
    python benchmarks/run_all.py --quick                          one short round of each, shown and not kept
    python benchmarks/run_all.py --page                           the page again, nothing measured

What a benchmark measured is kept in `benchmarks/measured/NAME.json`; `RESULTS.md` is made of these and of
`remarks.md`, the place for what a person has to say about them (a section a benchmark, `## NAME`). A benchmark that
fails, or whose data or libraries are not there, keeps its earlier table, and is named.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import tables

HERE = pathlib.Path(__file__).resolve().parent
MEASURED = HERE / 'measured'
PAGE = HERE / 'RESULTS.md'
REMARKS = HERE / 'remarks.md'


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A script of this folder.

    Attributes:
      name: the script's.
      title: of its part of the page.
      quick: arguments for a short round.
      needs: modules without which it cannot run, with those arguments too unless `quick_needs` says otherwise.
      images: whether it wants `--images`.
    """

    name: str
    title: str
    quick: tuple[str, ...]
    needs: tuple[str, ...] = ()
    quick_needs: tuple[str, ...] | None = None
    images: bool = False


ALL = (
    Benchmark('train_step', 'Training and evaluation steps',
              ('--networks=resnet20', '--rounds=1', '--contestants=jax', '--kinds=eval'), ('torch', 'torchvision'), ()),
    Benchmark('convolutions', 'Kinds of convolution',
              ('--kinds=standard', '--rounds=1', '--shape=1,8,8,16'), ('torch', 'torchvision')),
    Benchmark('detection', 'Detection operators', ('--works=nms-1000-0.7', '--rounds=1'), ('torch', 'torchvision')),
    Benchmark('folds', 'Five folds of ResNet-20',
              ('--folds=2', '--batch=8', '--rounds=1', '--contestants=one,sequential'), ('torch',), ()),
    Benchmark('input_pipeline', 'Training input', ('--count=128', '--rounds=1', '--only=raw,this'), images=True),
    Benchmark('segmentation', 'What skips buy: FCN-32s, 16s and 8s',
              ('--arguments=preset=tiny', '--variants=8s', '--seeds=0')),
    Benchmark('ladder', 'The ladder of detectors',
              ('--arguments=preset=tiny', '--rungs=faster_rcnn,yolo', '--untrained', '--rounds=2')),
)  # fmt: skip


def missing(benchmark: Benchmark, images: str, quick: bool) -> str:
    """Why it cannot run here; '' where it can."""
    import importlib.util

    needs = benchmark.quick_needs if quick and benchmark.quick_needs is not None else benchmark.needs
    absent = [name for name in needs if importlib.util.find_spec(name) is None]
    if absent:
        return f'needs {" and ".join(absent)} (benchmarks/requirements.txt)'
    return 'needs --images=FOLDER of JPEG files' if benchmark.images and not images else ''


def measure(benchmark: Benchmark, images: str, quick: bool, file: pathlib.Path) -> str:
    """Runs the script, which writes `file`; what went wrong, '' for nothing."""
    command = [sys.executable, str(HERE / f'{benchmark.name}.py'), f'--json={file}']
    command += benchmark.quick if quick else ()
    command += [f'--images={images}'] if benchmark.images else []
    with tempfile.TemporaryDirectory() as workdir:
        if quick and benchmark.name in ('segmentation', 'ladder'):
            command.append(f'--workdir={workdir}')
        done = subprocess.run(command, cwd=tables.ROOT, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode or not file.is_file():
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        return f'ended with {done.returncode}: {last}'
    return ''


def remarks(text: str) -> dict[str, str]:
    """What is said of each benchmark, by its name; under '' what stands above all."""
    parts = re.split(r'^## (\S+)\s*$', text, flags=re.MULTILINE)
    return {'': re.sub(r'^# .*$', '', parts[0], count=1, flags=re.MULTILINE).strip()} | {
        name: words.strip() for name, words in zip(parts[1::2], parts[2::2], strict=True)
    }


def page(measured: dict[str, dict], said: dict[str, str]) -> str:
    """The whole of RESULTS.md."""
    parts = ['# Results', said.get('', '')]
    for benchmark in ALL:
        if benchmark.name not in measured:
            continue
        found = measured[benchmark.name]
        parts += [
            f'## {benchmark.title}: `{found["command"].removeprefix("python ")}`',
            f'{found["date"]}, {tables.said(found["machine"])}; commit {found["commit"]}, {_duration(found)}.',
            found['markdown'],
            said.get(benchmark.name, ''),
        ]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _duration(found: dict) -> str:
    seconds = found.get('seconds')
    if not seconds:
        return 'its duration not kept'
    return f'{seconds / 60:.0f} minutes' if seconds >= 90 else f'{seconds:.0f} seconds'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', default='', help='names, with commas')
    parser.add_argument('--quick', action='store_true', help='one short round each; numbers that mean nothing')
    parser.add_argument('--page', action='store_true', help='measure nothing')
    parser.add_argument('--images', default='', help='a folder of JPEG files, for input_pipeline')
    parser.add_argument('--measured', type=pathlib.Path, default=MEASURED, help='where measurements are kept')
    parser.add_argument('--out', type=pathlib.Path, default=PAGE, help='the page')
    arguments = parser.parse_args()
    known = {benchmark.name: benchmark for benchmark in ALL}
    names = [name for name in arguments.only.split(',') if name] or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f'--only: no {unknown[0]!r}; there are {", ".join(known)}')
    failures = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) if arguments.quick else arguments.measured
        folder.mkdir(parents=True, exist_ok=True)
        for name in () if arguments.page else names:
            print(f'\n{name}', flush=True)
            why = missing(known[name], arguments.images, arguments.quick)
            file, started = pathlib.Path(scratch) / f'{name}.new', time.perf_counter()
            why = why or measure(known[name], arguments.images, arguments.quick, file)
            if why:
                failures.append(name)
                print(f'{name}: {why}', file=sys.stderr)
                continue
            content = json.loads(file.read_text()) | {'seconds': round(time.perf_counter() - started)}
            (folder / f'{name}.json').write_text(json.dumps(content, indent=1) + '\n')
        measured = {p.stem: json.loads(p.read_text()) for p in sorted(folder.glob('*.json'))}
        text = page(measured, remarks(REMARKS.read_text() if REMARKS.is_file() else ''))
    if arguments.quick:
        print(f'\n{text}')
    else:
        arguments.out.write_text(text)
        print(f'{arguments.out}: {len(measured)} benchmarks')
    if failures:
        print(f'not measured: {", ".join(failures)}', file=sys.stderr)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
