"""Root verb and object of English instructions: what a data set asks for, as a table.

Wang et al. 2022 (Self-Instruct) show it as a sunburst, by a constituency parser. Here a few rules
do: an instruction mostly begins with its verb, and the object's head is the last word before the
next preposition, conjunction or mark. Another language, or a task that begins with a story, comes
out as "other".
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seqit.engine.spool import value_of
from seqit.records.run_stats import Row, RunStats

SHOWN_VERBS, SHOWN_NOUNS = 20, 4
MOST = 200_000
"""Pairs that are counted; beyond them the rarest are forgotten."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\w\s]|\d+")
_POLITE = _set(
    "please kindly now then next first finally also just simply so and you your task is to i want "
    "would like need should must will could can let us me help could briefly carefully"
)
_QUESTIONS = _set(
    "what which who whom whose when where why how is are was were do does did has have had"
)
_NO_VERBS = _set(
    "a an the this that these those in on at of for from with without by as if given it its his "
    "her their there here not no yes or but he she they we our my each every some any all both "
    "one two three imagine suppose while after before during since because am hi hello i'm i've i'd"
)
_SKIPPED = _set(
    "a an the this that these those me us him her them it my your our their his its some any all "
    "each every both"
)
_ENDS = _set(
    "about above across after against along among around as at before behind below between by "
    "during for from in inside into like near of off on onto out over per since so than that then "
    "through to toward under until up using via when where whether which while who whose why how "
    "what if with within without and or but is are was were be has have had can could will would "
    "should must may might not because given based"
)


def phrase_of(instruction: str) -> tuple[str, str]:
    """Return verb and object of an instruction; ``question`` and ``other`` have no verb.

    The object is empty where the verb has none: "Explain how …".
    """
    words = _TOKEN.findall(instruction.lower()[:400])
    start = next((i for i, word in enumerate(words) if word not in _POLITE), len(words))
    if start == len(words):
        return "other", ""
    # "Can you …" asks for what follows; "can a fish fly" is a question.
    if words[start] in _QUESTIONS or (start == 1 and words[0] in ("can", "could", "will", "would")):
        return "question", ""
    verb = words[start]
    if verb in _NO_VERBS or not verb[0].isalpha():
        return "other", ""
    return verb, _head(words[start + 1 :])


def _head(words: list[str]) -> str:
    """Return the last word of the noun phrase at the beginning, in the singular."""
    head = ""
    for word in words:
        if word in _ENDS or not (word[0].isalpha() or word.isdigit()):
            break
        if word not in _SKIPPED and word[0].isalpha():
            head = word
    return _singular(head)


def _singular(noun: str) -> str:
    if len(noun) < 4 or noun.endswith(("ss", "us", "is")) or not noun.endswith("s"):
        return noun
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    return noun[:-2] if noun.endswith(("ches", "shes", "sses", "xes")) else noun[:-1]


def counting(rows: Iterable[Row], stats: RunStats) -> Iterator[Row]:
    """Yield the rows unchanged; their verbs and objects are in `stats.results["verbs"]`."""
    pairs: Counter[tuple[str, str]] = Counter()
    for row in map(value_of, rows):
        pairs[phrase_of(row.value["instruction"])] += 1
        if len(pairs) > MOST:
            pairs = Counter(dict(pairs.most_common(MOST // 2)))
        yield row
    stats.results["verbs"] = shares(pairs)


def shares(pairs: Mapping[tuple[str, str], int]) -> dict[str, dict[str, Any]]:
    """Return the most frequent verbs, each with its rows and its most frequent objects."""
    verbs: Counter[str] = Counter()
    for (verb, _), count in pairs.items():
        verbs[verb] += count
    told: dict[str, dict[str, Any]] = {}
    for verb, count in sorted(verbs.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_VERBS]:
        nouns = {noun: n for (of, noun), n in pairs.items() if of == verb and noun}
        most = sorted(nouns.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_NOUNS]
        told[verb] = {"rows": count, "objects": dict(most)}
    return told


def table_of(told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table: verb, rows, objects."""
    width = max(map(len, ("verb", *told)))
    lines = [f"{'verb':{width}}  {'rows':>9}  objects"]
    for verb, numbers in told.items():
        objects = ", ".join(f"{noun} {count:,}" for noun, count in numbers["objects"].items())
        lines.append(f"{verb:{width}}  {numbers['rows']:>9,}  {objects}".rstrip())
    return lines
