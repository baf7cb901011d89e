"""Write seeds: small tasks over texts, numbers, lists and tables with verifiable answers.

    python seeds.py COUNT SEED > seeds.jsonl

Each is one task with its answer, a check for the answer, and the task's name. All are different.
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
ORDINALS = ("first", "second", "third", "fourth", "fifth")

Seed = dict[str, Any]


def seed(name: str, instruction: str, input_: str, output: str, check: dict[str, Any]) -> Seed:
    """Return a row that is a chain of one step."""
    step = {"instruction": instruction, "output": output, "check": check, "name": name}
    return {"instruction": instruction, "input": input_, "output": output, "steps": [step]}


def number(name: str, instruction: str, input_: str, value: int) -> Seed:
    """Return a seed whose answer is a number."""
    return seed(name, instruction, input_, str(value), {"kind": "number", "value": str(value)})


def text(name: str, instruction: str, input_: str, value: str) -> Seed:
    """Return a seed whose answer is a text."""
    return seed(name, instruction, input_, value, {"kind": "text", "value": value})


def arithmetic(rng: Random) -> Seed:
    """Return a story with two numbers: their sum, their difference, or who has more."""
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
        question = f"How many {things} do they have together?"
        return number(task, f"{story} {question}", "", small + large)
    return text(task, f"{story} Who has more {things}?", "", one if first > second else two)


def table(rng: Random) -> Seed:
    """Return a table of three people with a city and a number: ask for a row or a cell."""
    people, cities = rng.sample(NAMES, 3), rng.sample(CITIES, 3)
    rows = list(zip(people, cities, map(str, rng.sample(range(2, 20), 3)), strict=True))
    input_ = "\n".join(f"- {' '.join(row)}" for row in [("name", "city", "coins"), *rows])
    position = rng.randrange(len(rows))
    name, city, coins = rows[position]
    task = rng.choice(("city", "coins", "row"))
    if task == "city":
        return text("city", f"Which city is in the {ORDINALS[position]} row?", input_, city)
    if task == "coins":
        return number(
            "coins", f"How many coins are in the {ORDINALS[position]} row?", input_, int(coins)
        )
    line = f"{name} {city} {coins}"
    return text("row", f"Copy the {ORDINALS[position]} row of the table.", input_, line)


def listing(rng: Random) -> Seed:
    """Return a list: ask for the items of one kind, or for the item at a position."""
    kind = rng.choice([*KINDS])
    wanted = rng.sample(KINDS[kind], rng.randint(2, 3))
    others = [item for name, items in KINDS.items() if name != kind for item in items]
    items = wanted + rng.sample(others, 5 - len(wanted))
    rng.shuffle(items)
    input_ = f"things in the list: {', '.join(items)}"
    if rng.random() < 0.4:
        position = rng.randrange(len(ORDINALS))
        return text(
            "item", f"Name the {ORDINALS[position]} item of the list.", input_, items[position]
        )
    found = [item for item in items if item in wanted]
    check = {"kind": "list", "items": found}
    return seed("pick", f"Pick the {kind} from the list.", input_, ", ".join(found), check)


def sentences(rng: Random) -> Seed:
    """Return a text of three sentences: ask for one of them, or for its subject."""
    people, verbs = rng.sample(NAMES, 3), rng.sample(VERBS, 3)
    things = rng.sample([item for items in KINDS.values() for item in items], 3)
    objects = [f"the {rng.choice(COLOURS)} {thing}" for thing in things]
    lines = [" ".join(parts) for parts in zip(people, verbs, objects, strict=True)]
    input_ = " ".join(f"{line}." for line in lines)
    position = rng.randrange(len(lines))
    if rng.random() < 0.5:
        question = f"Copy the {ORDINALS[position]} sentence without its full stop."
        return text("copy", question, input_, lines[position])
    return text("who", f"Who is in the {ORDINALS[position]} sentence?", input_, people[position])


def seeds(count: int, random_seed: int) -> Iterator[Seed]:
    """Yield `count` different seeds, the same number of each family."""
    rng, keys = Random(random_seed), set()
    families = (arithmetic, table, listing, sentences)
    while len(keys) < count:
        found = families[len(keys) % len(families)](rng)
        key = found["instruction"], found["input"]
        if key not in keys:
            keys.add(key)
            yield found


if __name__ == "__main__":
    sys.stdout.writelines(
        json.dumps(each) + "\n" for each in seeds(int(sys.argv[1]), int(sys.argv[2]))
    )
