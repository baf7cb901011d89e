"""One task's scores at equal length, from the scores in the database."""

from collections.abc import Sequence

from seqit.scores.db.database import Database
from seqit.scores.stats.interval import LEVEL
from seqit.scores.stats.length_adjusted import Adjustment, Sized, length_adjusted

_LENGTHS = """
SELECT value, length, root FROM scores
WHERE control IS NULL AND status = 'scored' AND isfinite(value) AND length IS NOT NULL
    AND coalesce(benchmark, '') = ? AND metric = ? AND model = ?
ORDER BY root, id, sample
"""


def adjust_task(
    database: Database, benchmark: str, metric: str, models: Sequence[str], level: float = LEVEL
) -> Adjustment | None:
    """Return the adjustment of one task's scores; None where fewer than two scores have a length.

    Models without such scores are left out.
    """
    scores = {}
    for model in models:
        rows = database.fetch(_LENGTHS, [benchmark, metric, model])
        if rows:
            scores[model] = [Sized(*row) for row in rows]
    return length_adjusted(scores, level=level) if scores else None
