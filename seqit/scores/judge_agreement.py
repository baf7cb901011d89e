"""Agreement of one task's judges, computed from the scores in the database."""

from dataclasses import dataclass
from itertools import combinations

from seqit.scores.db.database import Database
from seqit.scores.stats.agreement import cohen_kappa, krippendorff_alpha

_RATINGS = """
SELECT list(number ORDER BY judge) AS numbers, list(judge ORDER BY judge) AS judges FROM (
    SELECT model, id, sample, position, judge, avg(value) AS number FROM scores
    WHERE control IS NULL AND status = 'scored' AND isfinite(value)
        AND coalesce(benchmark, '') = ? AND metric = ?
    GROUP BY ALL
) GROUP BY model, id, sample, position ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """Agreement of one task's judges: Krippendorff's alpha of all, Cohen's kappa of each pair."""

    answers: int
    alpha: float | None
    kappas: dict[tuple[str, str], float | None]


def judge_agreement(database: Database, benchmark: str, metric: str) -> JudgeAgreement | None:
    """Return the agreement of a task's judges over the answers that two or more rated.

    Votes of one judge count as their mean. Kappa is weighted by the squared distance of ranks,
    which for two different ratings is the unweighted kappa. None if no answer has two judges.
    """
    rows = database.fetch(_RATINGS, [benchmark, metric])
    answers = [dict(zip(judges, numbers, strict=True)) for numbers, judges in rows]
    answers = [ratings for ratings in answers if len(ratings) > 1]
    if not answers:
        return None
    judges = sorted({judge for ratings in answers for judge in ratings})
    kappas = {
        (one, two): cohen_kappa(
            [ratings.get(one) for ratings in answers],
            [ratings.get(two) for ratings in answers],
            "quadratic",
        )
        for one, two in combinations(judges, 2)
    }
    alpha = krippendorff_alpha([list(ratings.values()) for ratings in answers])
    return JudgeAgreement(len(answers), alpha, kappas)
