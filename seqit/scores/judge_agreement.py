"""How far the judges of one task agree, from the scores in the database."""

from dataclasses import dataclass
from itertools import combinations

from seqit.scores.db.database import Database
from seqit.scores.stats.agreement import cohen_kappa, krippendorff_alpha

_VERDICTS = """
SELECT list(number ORDER BY judge) AS numbers, list(judge ORDER BY judge) AS judges FROM (
    SELECT model, id, sample, position, judge, avg(value) AS number FROM scores
    WHERE control IS NULL AND status = 'scored' AND isfinite(value)
        AND coalesce(benchmark, '') = ? AND metric = ?
    GROUP BY ALL
) GROUP BY model, id, sample, position ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the judges of one task agree: alpha of all of them, kappa of each two."""

    answers: int
    alpha: float | None
    kappas: dict[tuple[str, str], float | None]


def judge_agreement(database: Database, benchmark: str, metric: str) -> Agreement | None:
    """Return the agreement of a task's judges over the answers that two or more rated.

    Votes of one judge count as their mean. Kappa is weighted by squared distance of ranks, which
    for two kinds of verdict is the plain one. None where no answer has two judges.
    """
    found = database.fetch(_VERDICTS, [benchmark, metric])
    units = [dict(zip(judges, numbers, strict=True)) for numbers, judges in found]
    units = [unit for unit in units if len(unit) > 1]
    if not units:
        return None
    judges = sorted({judge for unit in units for judge in unit})
    kappas = {
        (one, two): cohen_kappa(
            [unit.get(one) for unit in units], [unit.get(two) for unit in units], "quadratic"
        )
        for one, two in combinations(judges, 2)
    }
    alpha = krippendorff_alpha([list(unit.values()) for unit in units])
    return Agreement(len(units), alpha, kappas)
