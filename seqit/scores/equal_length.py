"""Length adjustment of one task's scores, read from the database."""

from collections.abc import Sequence

from seqit.scores.db.database import Database
from seqit.scores.stats.interval import LEVEL
from seqit.scores.stats.length_adjusted import LengthAdjustment, ScoredAnswer, adjust_for_length

_SCORED_ANSWERS = """
SELECT value, length, root FROM scores
WHERE control IS NULL AND status = 'scored' AND isfinite(value) AND length IS NOT NULL
    AND coalesce(benchmark, '') = ? AND metric = ? AND model = ?
ORDER BY root, id, sample
"""


def adjust_task(
    database: Database, benchmark: str, metric: str, models: Sequence[str], level: float = LEVEL
) -> LengthAdjustment | None:
    """Return the length adjustment of one task; None if no score of it has a length.

    Models without such scores are left out. Raises SeqitError as adjust_for_length does.
    """
    scores = {}
    for model in models:
        rows = database.fetch(_SCORED_ANSWERS, [benchmark, metric, model])
        if rows:
            scores[model] = [ScoredAnswer(*row) for row in rows]
    return adjust_for_length(scores, level=level) if scores else None
