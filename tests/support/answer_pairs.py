"""Answers beside right answers, by chance: equal, near, or something else."""

import random

PIECES = (
    *("the", "The", "a", "an", "A.", "cat", "Cat,", "dog's", "1,000", "—", "“quoted”", "naïve"),
    *("Ärger", "ÉCOLE", "and/or", "U.S.", "!", "...", "中国", "中国人", "не", "ال", "العربية"),
    *("the-cat", "thea", "a\u00a0b", "\t", "x_y", "ß", "İ"),
)


def pairs(seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        right = " ".join(rng.choices(PIECES, k=rng.randint(1, 6)))
        words = right.split(" ")
        kind = rng.randrange(4)
        if kind == 0:
            said = " ".join(rng.choices(PIECES, k=rng.randint(1, 6)))
        elif kind == 1:
            said = right.upper()
        else:
            said = " ".join(w for w in words if rng.random() < 0.7) + rng.choice(
                ("", ".", "!")
            )
        yield said, right
