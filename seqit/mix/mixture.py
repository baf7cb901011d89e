"""Sources + amounts + seed → one mixture, shuffled, and the plan that says what came of it."""

from collections.abc import Iterator, Sequence

from seqit.mix.plan import Amount, Available, Given, check_amounts, make_plan
from seqit.mix.pool import Pool
from seqit.mix.report import report
from seqit.mix.tokens import Counter, estimated
from seqit.records.account import Account, Row

Source = tuple[str, Amount | None, Iterator[Row]]
"""Name, how much of it (None: all), and its records."""


def mix(
    sources: Sequence[Source],
    account: Account,
    *,
    seed: int,
    total: Amount | None = None,
    counter: Counter | None = None,
    plan_only: bool = False,
) -> Iterator[Row]:
    """Yield the mixture; its plan stands in `account.counts["plan"]` before the first row.

    What is drawn, and in which order, depends on the seed and the ids of the records: not on
    their order, nor on how a source is split over files. Rows not drawn are rejected, repeated
    ones added; with `plan_only` all are rejected. Tokens are estimated without a `counter`.
    Raises UsageError for amounts that contradict one another, before a row is read, and
    SeqitError for an empty source that is to give something.
    """
    amounts = [amount for _, amount, _ in sources]
    check_amounts(amounts, total)
    with Pool(seed, counter or estimated()) as pool:
        parts: list[range] = []
        held: list[Available] = []
        for name, _, rows in sources:
            part, tokens = pool.add(rows)
            parts.append(part)
            held.append(Available(name, len(part), tokens))
        targets = make_plan(held, amounts, total)
        given = [
            Given(source, target, *pool.choose(part, target))
            for source, target, part in zip(held, targets, parts, strict=True)
        ]
        account.counts["plan"] = report(given, seed, pool.counter.name)
        for part, source in zip(parts, held, strict=True):
            _settle(pool, part, source, account, plan_only)
        if not plan_only:
            yield from pool.chosen()


def _settle(pool: Pool, part: range, source: Available, account: Account, plan_only: bool) -> None:
    """Account for the rows of one source that the mixture leaves out or repeats."""
    drawn = sum(1 for i in part if pool.copies[i])
    message = f"{drawn:,} of the {source.rows:,} rows of {source.name} were drawn, this one not."
    reason = "not-drawn"
    if plan_only:
        message, reason = "Only the plan was asked for.", "plan-only"
    for i in part:
        if plan_only or not pool.copies[i]:
            # Reading a row back costs a disk access, so only where somebody wants to see it.
            row = pool.read(i) if account.keeps_rejects else Row(None, source.name)
            account.reject(row, "mix", reason, message)
        else:
            account.added += pool.copies[i] - 1
