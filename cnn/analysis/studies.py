"""The studies by name, and what the lecture notes and the papers claim of each; `--mode=study` judges them."""

from collections.abc import Sequence

from cnn.analysis import studies_data, studies_depth, studies_layers, studies_training
from cnn.analysis.study_table import Table
from cnn.analysis.study_verdict import Claim, Verdict, judge

STUDIES: dict[str, Sequence[Claim]] = {
    'degradation': studies_depth.DEGRADATION,
    'shortcuts': studies_depth.SHORTCUTS,
    'block_orders': studies_depth.BLOCK_ORDERS,
    'batch_norm': studies_training.BATCH_NORM,
    'synchronised': studies_training.SYNCHRONISED,
    'stacked_3x3': studies_layers.STACKED,
    'bottleneck': studies_layers.BOTTLENECK,
    'convolutions': studies_layers.CONVOLUTIONS,
    'alexnet': studies_training.ALEXNET,
    'growth_rate': studies_depth.GROWTH_RATE,
    'capacity': studies_data.CAPACITY,
}


def judge_all(name: str, table: Table) -> list[Verdict]:
    """A verdict for each claim of the study called `name`; none where that name is nobody's."""
    return [judge(claim, table) for claim in STUDIES.get(name, ())]
