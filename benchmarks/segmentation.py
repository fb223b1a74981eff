"""What skips buy: FCN-32s, 16s and 8s on digit_scenes over several seeds, in one command.

  python benchmarks/segmentation.py                                   three variants, three seeds
  python benchmarks/segmentation.py --seeds=0 --arguments=preset=tiny      to see that it runs
  python benchmarks/segmentation.py --arguments=dataset=masks:PATH#void=11,trunk=squeezenet,from=weights.pkl \\
      --variants=8s --seeds=0 --set=evaluation.split=train            how well it learns its own training images

Each run is `main.py --config=configs/fcn.py:variant=...` and resumes where it stands in `--workdir`. Prints a row a
run, then each variant's mean and standard deviation, and writes them to `segmentation.json`.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import tables  # noqa: E402

SHOWN = ('mean_iou', 'pixel_accuracy', 'mean_class_accuracy', 'frequency_weighted_iou')


def run(variant: str, seed: int, options) -> dict:
    """Trains one network in a process of its own, and returns its result."""
    workdir = options.workdir / f'{variant}_{seed}'
    argument = ','.join(filter(None, [f'variant={variant}', options.arguments]))
    command = [sys.executable, str(ROOT / 'main.py'), f'--config={ROOT}/configs/fcn.py:{argument}',
               f'--workdir={workdir}', f'--config.seed={seed}',
               *(f'--config.{setting}' for setting in options.set)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f'{variant}, seed {seed}: {done.stderr[-2000:]}')
    return json.loads((workdir / 'result.json').read_text())


def _spread(values: list[float]) -> str:
    """Mean and standard deviation, in per cent."""
    deviation = f' ± {100 * statistics.stdev(values):.2f}' if len(values) > 1 else ''
    return f'{100 * statistics.mean(values):.2f}{deviation}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--variants', type=lambda s: s.split(','), default=['32s', '16s', '8s'])
    parser.add_argument('--seeds', type=lambda s: [int(n) for n in s.split(',')], default=[0, 1, 2])
    parser.add_argument('--arguments', default='', help='more of the config: dataset=...,trunk=...')
    parser.add_argument('--set', action='append', default=[], help='a setting: evaluation.split=train')
    parser.add_argument('--workdir', type=pathlib.Path, default=pathlib.Path('runs/segmentation'))
    parser.add_argument('--json', default='', help='file for the table and the machine')
    options = parser.parse_args()
    table = {}
    print(f'{"variant":8} {"seed":>4} ' + ' '.join(f'{name:>22}' for name in SHOWN) + '  seconds')
    for variant in options.variants:
        for seed in options.seeds:
            result = run(variant, seed, options)
            table.setdefault(variant, []).append(result['metrics'])
            values = ' '.join(f'{result["metrics"][name]:22.4f}' for name in SHOWN)
            print(f'{variant:8} {seed:4} {values}  {result["wall_seconds"]:.0f}', flush=True)
    print()
    summary = tables.Table('variant', *(name.replace('_', ' ') for name in SHOWN), 'seeds')
    for variant, rows in table.items():
        summary.row(variant, *(_spread([row[name] for row in rows]) for name in SHOWN), len(rows))
    tables.keep(options.json, summary.markdown(), table)
    (options.workdir / 'segmentation.json').write_text(json.dumps(table, indent=2))


if __name__ == '__main__':
    main()
