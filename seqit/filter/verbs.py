"""Root verb and object of English instructions: what a data set asks for, as a table.

Wang et al. 2022 (Self-Instruct) show it as a sunburst, found by a constituency parser. Here a few
rules suffice: an instruction mostly begins with its verb, and the object's head is the last word
before the next preposition, conjunction or punctuation mark. Another language, or a task that
begins with a story, counts as "other".
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seqit.engine.spool import ensure_decoded
from seqit.records.run_stats import Row, RunStats

MAX_VERBS, MAX_NOUNS = 20, 4
MAX_PAIRS = 200_000
"""Pairs of verb and object in memory; above it the rarer half is dropped."""


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\w\s]|\d+")
_LEADING = _words(
    "please kindly now then next first finally also just simply so and you your task is to i want "
    "would like need should must will could can let us me help could briefly carefully"
)
_QUESTIONS = _words(
    "what which who whom whose when where why how is are was were do does did has have had"
)
_NON_VERBS = _words(
    "a an the this that these those in on at of for from with without by as if given it its his "
    "her their there here not no yes or but he she they we our my each every some any all both "
    "one two three imagine suppose while after before during since because am hi hello i'm i've i'd"
)
_SKIPPED = _words(
    "a an the this that these those me us him her them it my your our their his its some any all "
    "each every both"
)
_PHRASE_ENDS = _words(
    "about above across after against along among around as at before behind below between by "
    "during for from in inside into like near of off on onto out over per since so than that then "
    "through to toward under until up using via when where whether which while who whose why how "
    "what if with within without and or but is are was were be has have had can could will would "
    "should must may might not because given based"
)


def verb_and_object(instruction: str) -> tuple[str, str]:
    """Return verb and object of an instruction; ``question`` and ``other`` stand for no verb.

    The object is empty if the verb has none: "Explain how …".
    """
    words = _TOKEN.findall(instruction.lower()[:400])
    start = next((i for i, word in enumerate(words) if word not in _LEADING), len(words))
    if start == len(words):
        return "other", ""
    # "Can you …" is a request; "can a fish fly" is a question.
    if words[start] in _QUESTIONS or (start == 1 and words[0] in ("can", "could", "will", "would")):
        return "question", ""
    verb = words[start]
    if verb in _NON_VERBS or not verb[0].isalpha():
        return "other", ""
    return verb, _head(words[start + 1 :])


def _head(words: list[str]) -> str:
    """Return the last word of the leading noun phrase, in the singular."""
    head = ""
    for word in words:
        if word in _PHRASE_ENDS or not (word[0].isalpha() or word.isdigit()):
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


def count_verbs(rows: Iterable[Row], stats: RunStats) -> Iterator[Row]:
    """Yield the rows unchanged, and count their verbs and objects in `stats.results["verbs"]`."""
    pairs: Counter[tuple[str, str]] = Counter()
    for row in map(ensure_decoded, rows):
        pairs[verb_and_object(row.value["instruction"])] += 1
        if len(pairs) > MAX_PAIRS:
            pairs = Counter(dict(pairs.most_common(MAX_PAIRS // 2)))
        yield row
    stats.results["verbs"] = top_verbs(pairs)


def top_verbs(pairs: Mapping[tuple[str, str], int]) -> dict[str, dict[str, Any]]:
    """Return the most frequent verbs, each with its number of rows and most frequent objects."""
    verbs: Counter[str] = Counter()
    for (verb, _), count in pairs.items():
        verbs[verb] += count
    table: dict[str, dict[str, Any]] = {}
    for verb, count in sorted(verbs.items(), key=lambda item: (-item[1], item[0]))[:MAX_VERBS]:
        nouns = {noun: n for (noun_verb, noun), n in pairs.items() if noun_verb == verb and noun}
        most = sorted(nouns.items(), key=lambda item: (-item[1], item[0]))[:MAX_NOUNS]
        table[verb] = {"rows": count, "objects": dict(most)}
    return table


def verb_table(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Format the result of `top_verbs` as lines: verb, rows, objects."""
    width = max(map(len, ("verb", *table)))
    lines = [f"{'verb':{width}}  {'rows':>9}  objects"]
    for verb, numbers in table.items():
        objects = ", ".join(f"{noun} {count:,}" for noun, count in numbers["objects"].items())
        lines.append(f"{verb:{width}}  {numbers['rows']:>9,}  {objects}".rstrip())
    return lines
