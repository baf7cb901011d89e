"""Random pairs of a prediction and a reference: equal, similar or unrelated."""

import random

PIECES = (
    *("the", "The", "a", "an", "A.", "cat", "Cat,", "dog's", "1,000", "—", "“quoted”", "naïve"),
    *("Ärger", "ÉCOLE", "and/or", "U.S.", "!", "...", "中国", "中国人", "не", "ال", "العربية"),
    *("the-cat", "thea", "a\u00a0b", "\t", "x_y", "ß", "İ"),
)


def answer_pairs(seed, count):
    """Yield `count` pairs (prediction, reference)."""
    rng = random.Random(seed)
    for _ in range(count):
        reference = " ".join(rng.choices(PIECES, k=rng.randint(1, 6)))
        words = reference.split(" ")
        kind = rng.randrange(4)
        if kind == 0:
            prediction = " ".join(rng.choices(PIECES, k=rng.randint(1, 6)))
        elif kind == 1:
            prediction = reference.upper()
        else:
            prediction = " ".join(w for w in words if rng.random() < 0.7) + rng.choice(
                ("", ".", "!")
            )
        yield prediction, reference
