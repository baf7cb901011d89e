"""Writes seeds: small tasks over texts, numbers, lists and tables, whose answers a program checks.

    python seeds.py NUMBER SEED > seeds.jsonl

Each is one task with its answer, the check that proves it, and the task's name. All are different.
"""

import json
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo"]
CITIES = ["Berlin", "Cairo", "Lisbon", "Oslo", "Paris", "Rome"]
COLOURS = ["red", "blue", "green", "black"]
KINDS = {
    "animals": ["dog", "cat", "horse", "bird", "goat", "fox"],
    "fruits": ["apple", "pear", "plum", "lemon", "cherry", "fig"],
    "tools": ["hammer", "saw", "drill", "rake", "brush", "knife"],
}
VERBS = ["sees", "paints", "buys", "finds"]
PLURALS = ["coins", "books", "cards", "pens"]
PLACES = ("first", "second", "third", "fourth", "fifth")

Seed = dict[str, Any]


def seed(name: str, instruction: str, given: str, output: str, check: dict[str, Any]) -> Seed:
    """Return a row that is a chain of one step."""
    step = {"instruction": instruction, "output": output, "check": check, "name": name}
    return {"instruction": instruction, "input": given, "output": output, "steps": [step]}


def number(name: str, instruction: str, given: str, value: int) -> Seed:
    return seed(name, instruction, given, str(value), {"kind": "number", "value": str(value)})


def text(name: str, instruction: str, given: str, value: str) -> Seed:
    return seed(name, instruction, given, value, {"kind": "text", "value": value})


def arithmetic(rng: Random) -> Seed:
    """A story with two numbers: their sum, their difference, or whose is larger."""
    one, two = rng.sample(NAMES, 2)
    things = rng.choice(PLURALS)
    small, large = sorted(rng.sample(range(2, 15), 2))
    task = rng.choice(("total", "difference", "comparison"))
    if task == "difference":
        story = f"{one} has {large} {things}. {one} gives {small} {things} to {two}."
        return number(task, f"{story} How many {things} does {one} have left?", "", large - small)
    first, second = rng.sample((small, large), 2)
    story = f"{one} has {first} {things}. {two} has {second} {things}."
    if task == "total":
        asked = f"How many {things} do they have together?"
        return number(task, f"{story} {asked}", "", small + large)
    return text(task, f"{story} Who has more {things}?", "", one if first > second else two)


def table(rng: Random) -> Seed:
    """A table of three people with their city and a number: a row of it, or a cell."""
    people, cities = rng.sample(NAMES, 3), rng.sample(CITIES, 3)
    rows = list(zip(people, cities, map(str, rng.sample(range(2, 20), 3)), strict=True))
    given = "\n".join(f"- {' '.join(row)}" for row in [("name", "city", "coins"), *rows])
    place = rng.randrange(len(rows))
    who, city, coins = rows[place]
    asked = rng.choice(("city", "coins", "row"))
    if asked == "city":
        return text("city", f"Which city is in the {PLACES[place]} row?", given, city)
    if asked == "coins":
        return number("coins", f"How many coins are in the {PLACES[place]} row?", given, int(coins))
    line = f"{who} {city} {coins}"
    return text("row", f"Copy the {PLACES[place]} row of the table.", given, line)


def listing(rng: Random) -> Seed:
    """A list: the items of one kind, or the one at a place."""
    kind = rng.choice([*KINDS])
    wanted = rng.sample(KINDS[kind], rng.randint(2, 3))
    others = [item for name, items in KINDS.items() if name != kind for item in items]
    items = wanted + rng.sample(others, 5 - len(wanted))
    rng.shuffle(items)
    given = f"things in the list: {', '.join(items)}"
    if rng.random() < 0.4:
        place = rng.randrange(len(PLACES))
        return text("item", f"Name the {PLACES[place]} item of the list.", given, items[place])
    found = [item for item in items if item in wanted]
    check = {"kind": "list", "items": found}
    return seed("pick", f"Pick the {kind} from the list.", given, ", ".join(found), check)


def sentences(rng: Random) -> Seed:
    """A text of three sentences: one of them, or who is in it."""
    people, verbs = rng.sample(NAMES, 3), rng.sample(VERBS, 3)
    things = rng.sample([item for items in KINDS.values() for item in items], 3)
    objects = [f"the {rng.choice(COLOURS)} {thing}" for thing in things]
    lines = [" ".join(parts) for parts in zip(people, verbs, objects, strict=True)]
    given = " ".join(f"{line}." for line in lines)
    place = rng.randrange(len(lines))
    if rng.random() < 0.5:
        asked = f"Copy the {PLACES[place]} sentence without its full stop."
        return text("copy", asked, given, lines[place])
    return text("who", f"Who is in the {PLACES[place]} sentence?", given, people[place])


def seeds(count: int, chosen: int) -> Iterator[Seed]:
    """Yield so many different seeds, as many of each family."""
    rng, made = Random(chosen), set()
    families = (arithmetic, table, listing, sentences)
    while len(made) < count:
        found = families[len(made) % len(families)](rng)
        key = found["instruction"], found["input"]
        if key not in made:
            made.add(key)
            yield found


if __name__ == "__main__":
    sys.stdout.writelines(
        json.dumps(each) + "\n" for each in seeds(int(sys.argv[1]), int(sys.argv[2]))
    )
