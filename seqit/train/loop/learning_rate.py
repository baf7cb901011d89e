"""The learning rate as a function of the step, without state that has to be saved."""

from math import ceil, cos, pi

from seqit.train.recipe import Tuning


def learning_rate(step: int, steps: int, tuning: Tuning) -> float:
    """Return the learning rate of a step, from 0, as transformers' schedules compute it.

    steps: of the whole run. The rate rises from 0 during the warm-up, which takes
    ceil(warmup x steps) steps, or `warmup` steps if it is 1 or more; then it decays to 0 or stays.
    """
    warmup = ceil(tuning.warmup * steps) if tuning.warmup < 1 else round(tuning.warmup)
    if step < warmup:
        return tuning.learning_rate * step / warmup
    if tuning.schedule == "constant":
        return tuning.learning_rate
    done = (step - warmup) / max(steps - warmup, 1)
    if tuning.schedule == "cosine":
        return tuning.learning_rate * (1 + cos(pi * done)) / 2
    return tuning.learning_rate * (1 - done)
