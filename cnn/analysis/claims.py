"""Every claim of the lecture notes, recomputed: `python -m cnn.analysis.claims [--output=claims.json] [--korean]`.

Prints a table and writes JSON: a list of objects with `id`, `claim`, `status`, `verdict`, `measured`,
`why` and `source`, texts as `{'en', 'ko'}`. What is measured comes from the built networks and layers at that moment.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

# Imported for their claims; the table has them in this order.
from cnn.analysis import notes_densenet, notes_layers, notes_networks, notes_practice  # noqa: F401
from cnn.analysis.notes import CLAIMS

_SHOWN = {'true': 'true', 'false': 'FALSE', 'rounded': 'rounded', None: 'study'}
_SHOWN_KO = {'true': '참', 'false': '거짓', 'rounded': '어림', None: '실험'}


def recompute(ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Measures the claims (all of them, or those of `ids`) and returns the content of `claims.json`.

    Raises:
      ValueError: for an unknown id.
    """
    wanted = [claim.id for claim in CLAIMS] if ids is None else list(ids)
    known = {claim.id: claim for claim in CLAIMS}
    results = []
    for id in wanted:
        if id not in known:
            raise ValueError(f'unknown claim {id!r}; there are {", ".join(known)}')
        claim, found = known[id], known[id].measure()
        results.append(
            {
                'id': id,
                'claim': {'en': claim.claim, 'ko': claim.claim_ko},
                'status': found.status,
                'verdict': found.verdict,
                'why': {'en': found.why, 'ko': found.why_ko},
                'measured': found.measured,
                'source': claim.source,
            }
        )
    return results


def table(results: list[dict[str, Any]], language: str = 'en') -> Table:
    """One row a claim, in 'en' or 'ko'."""
    heads = ('claim', 'verdict', 'why') if language == 'en' else ('노트의 주장', '판정', '까닭')
    shown = Table(show_lines=True)
    for head in heads:
        # Rich cuts a wide Korean word at the edge unless it may fold it.
        shown.add_column(head, overflow='fold')
    for row in results:
        mark = (_SHOWN if language == 'en' else _SHOWN_KO)[row['verdict']]
        shown.add_row(row['claim'][language], mark, row['why'][language])
    return shown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='Recomputes every claim of the lecture notes.')
    parser.add_argument('--output', type=pathlib.Path, default=pathlib.Path('claims.json'), help='the JSON to write')
    parser.add_argument('--korean', action='store_true', help='print the table in Korean')
    options = parser.parse_args(arguments)
    if not options.output.resolve().parent.is_dir():
        print(f'--output: no folder {options.output.parent}; create it first', file=sys.stderr)
        return 2
    results = recompute()
    options.output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    console = Console(width=None if sys.stdout.isatty() else 120, markup=False)
    console.print(table(results, 'ko' if options.korean else 'en'))
    console.print(f'{len(results)} claims: {options.output}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
