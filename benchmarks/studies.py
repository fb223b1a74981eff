"""Runs every study of `configs/studies` at its small size and writes them to `docs/studies.md`, with their pictures.

    python benchmarks/studies.py                         all of them
    python benchmarks/studies.py --only=shortcuts,alexnet
    python benchmarks/studies.py --page                  the page again, of the runs that stand

A study that stands in `--workdir` is not trained again; of one that does not, the page keeps what it has. What a person
has to say about each is in `studies_remarks.md`: its title, what is compared, what the paper's size is.
"""

import argparse
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import run_all, tables

DOCS = tables.ROOT / 'docs'
REMARKS = pathlib.Path(__file__).with_name('studies_remarks.md')
PICTURES = ('study', 'drift')
# A picture in the page has at most so many bytes, by the number of its colours.
BYTES = 60_000
# Config arguments of the sizes that the page shows, of studies whose small size is not of the digits.
ARGUMENTS = {'alexnet': 'dataset=cifar10'}
HEAD = '| study | claim | 주장 | verdict, small size |\n| --- | --- | --- | --- |'


def config_of(name: str) -> str:
    """What `--config` takes for a study's small size."""
    return f'configs/studies/{name}.py' + (f':{ARGUMENTS[name]}' if name in ARGUMENTS else '')


def train(name: str, workdir: pathlib.Path) -> None:
    """Runs a study, or what is left of it; what it prints goes on."""
    print(f'\n{name}', flush=True)
    command = [sys.executable, 'main.py', '--mode=study', f'--config={config_of(name)}', f'--workdir={workdir}']
    if subprocess.run(command, cwd=tables.ROOT, check=False).returncode:
        raise SystemExit(f'{name}: the study failed')


def copy_picture(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes a picture with as many colours as it may have."""
    import PIL.Image

    with PIL.Image.open(source) as opened:
        picture = opened.convert('RGB')
    for colours in (64, 48, 32, 16):
        picture.quantize(colours, dither=PIL.Image.Dither.NONE).save(target, optimize=True)
        if target.stat().st_size < BYTES:
            return


def section(name: str, words: str, workdir: pathlib.Path, images: pathlib.Path) -> tuple[str, list[str]]:
    """A study's part of the page, and its rows of the table of verdicts."""
    title, text, paper = _said(words)
    parts = [f'## {title}', text, f'```sh\npython main.py --mode=study --config={config_of(name)}\n```']
    for picture in PICTURES:
        if (workdir / f'{picture}.png').is_file():
            own = '' if picture == 'study' else f'_{picture}'
            copy_picture(workdir / f'{picture}.png', images / f'{name}{own}.png')
            parts.append(f'![{title}{own.replace("_", ": ")}](images/studies/{name}{own}.png)')
    parts += [(workdir / 'study.md').read_text().strip(), paper]
    verdicts = json.loads((workdir / 'study.json').read_text())['verdicts']
    rows = [f'{_link(title)} {v["claim"]["en"]} | {v["claim"]["ko"]} | {v["status"]["en"]} |' for v in verdicts]
    return '\n\n'.join(parts), rows


def standing(words: str, page: str) -> tuple[str, list[str]]:
    """As `section`, of a study that an earlier page shows; ('', []) where it does not."""
    title = _said(words)[0]
    found = [part.strip() for part in f'\n{page}'.split('\n## ') if part.startswith(f'{title}\n')]
    rows = [line for line in page.splitlines() if line.startswith(_link(title))]
    return (f'## {found[0]}', rows) if found else ('', [])


def _said(words: str) -> list[str]:
    """A study's title, what is compared, and its paper's size."""
    return [part.strip() for part in words.removeprefix('### ').split('\n\n', 2)]


def _link(title: str) -> str:
    """How a study's rows in the table of verdicts begin."""
    anchor = title.lower().replace(',', '').replace(' ', '-')
    return f'| [{title}](#{anchor}) |'


def page(said: dict[str, str], workdir: pathlib.Path, docs: pathlib.Path) -> str:
    """The whole of docs/studies.md; writes the pictures that it shows."""
    images = docs / 'images' / 'studies'
    images.mkdir(parents=True, exist_ok=True)
    earlier = (docs / 'studies.md').read_text() if (docs / 'studies.md').is_file() else ''
    found = {
        name: section(name, words, workdir / name, images)
        if (workdir / name / 'study.json').is_file()
        else standing(words, earlier)
        for name, words in said.items()
        if name
    }
    missing = [name for name, (text, _) in found.items() if not text]
    parts = ['# The claims of the notes, as experiments', said['']]
    if missing:
        parts.append(f'Not run to their end: {", ".join(missing)}.')
    parts.append('\n'.join([HEAD, *(row for _, rows in found.values() for row in rows)]))
    return '\n\n'.join(parts + [text for text, _ in found.values() if text]) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    said = run_all.remarks(REMARKS.read_text())
    names = [name for name in said if name]
    parser.add_argument('--only', type=lambda text: text.split(','), default=names, help='names, with commas')
    parser.add_argument('--page', action='store_true', help='train nothing')
    parser.add_argument('--workdir', type=pathlib.Path, default=pathlib.Path('runs/studies'))
    parser.add_argument('--docs', type=pathlib.Path, default=DOCS, help='where studies.md is written')
    options = parser.parse_args()
    if unknown := set(options.only) - set(names):
        parser.error(f'--only: no {", ".join(sorted(unknown))}; there are {", ".join(names)}')
    for name in () if options.page else options.only:
        train(name, options.workdir / name)
    (options.docs / 'studies.md').write_text(page(said, options.workdir, options.docs))
    print(f'{options.docs / "studies.md"}')


if __name__ == '__main__':
    main()
