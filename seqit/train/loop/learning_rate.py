"""The learning rate of each step, a function of the step alone: nothing of it has to be kept."""

from math import ceil, cos, pi

from seqit.train.recipe import Tuning


def learning_rate(step: int, steps: int, tuning: Tuning) -> float:
    """Return the rate of a step, from 0, of so many: as the schedules of transformers have it.

    It rises from 0 over the warm-up, the first ceil(warmup x steps) steps, or as many as `warmup`
    says from 1 on; then it falls to 0 or stays.
    """
    share = tuning.warmup
    warmup = ceil(share * steps) if share < 1 else round(share)
    if step < warmup:
        return tuning.lr * step / warmup
    if tuning.schedule == "constant":
        return tuning.lr
    done = (step - warmup) / max(steps - warmup, 1)
    if tuning.schedule == "cosine":
        return tuning.lr * (1 + cos(pi * done)) / 2
    return tuning.lr * (1 - done)
