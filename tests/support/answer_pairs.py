"""Answers beside right answers, by chance: equal, near, or something else."""

import random

PIECES = (
    *("the", "The", "a", "an", "A.", "cat", "Cat,", "dog's", "1,000", "—", "“quoted”", "naïve"),
    *("Ärger", "ÉCOLE", "and/or", "U.S.", "!", "...", "中国", "中国人", "не", "ال", "العربية"),
    *("the-cat", "thea", "a\u00a0b", "\t", "x_y", "ß", "İ"),
)


def pairs(seed, count):
    chance = random.Random(seed)
    for _ in range(count):
        right = " ".join(chance.choices(PIECES, k=chance.randint(1, 6)))
        words = right.split(" ")
        kind = chance.randrange(4)
        if kind == 0:
            said = " ".join(chance.choices(PIECES, k=chance.randint(1, 6)))
        elif kind == 1:
            said = right.upper()
        else:
            said = " ".join(w for w in words if chance.random() < 0.7) + chance.choice(
                ("", ".", "!")
            )
        yield said, right
