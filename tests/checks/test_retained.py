"""Checks on rewrites: lost content, leftovers, and tasks without a response."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqit.checks.own_response import has_own_response, may_be_a_request
from seqit.checks.placeholder import leftovers
from seqit.checks.retained import lost_content
from seqit.checks.verbatim_spans import find_verbatim_spans
from seqit.checks.words import content_words

TABLE = "| city | people |\n|---|---|\n| Ulm | 126,000 |\n| Bonn | 330,000 |"
CODE = "```python\ndef f(x):\n    # ### not a heading\n    return x ** 2\n```"
OPTIONS = "Which is a bird?\nOptions:\n- bat\n- wren\n- moth"


def lost(original, rewritten, context="", **options):
    return [tuple(each) for each in lost_content(original, rewritten, context, **options)]


def kinds(original, rewritten, context="", **options):
    return {kind for kind, _ in lost(original, rewritten, context, **options)}


@pytest.mark.parametrize(
    ("original", "rewritten", "missing"),
    [
        (
            f"Which city is larger?\n\n{TABLE}",
            f"Sort the cities below. Which city is larger?\n\n{TABLE[: TABLE.index('| Bonn')]}",
            [("table", "| Bonn | 330,000 |")],
        ),
        (
            "Sum up the rows.\nname\tage\nAda\t36\nAlan\t41",
            "Name the columns, then sum up the rows.\nname\tage\nAda\t36",
            [("table", "Alan\t41")],
        ),
        (f"Explain this.\n{CODE}", "Name the language, then explain this.", [("code", None)]),
        (
            "What does `sorted(x)` do?",
            "Say what a list is. What does it do?",
            [("code", "sorted(x)")],
        ),
        (
            "Explain the loop:\n\n    for i in x:\n        print(i)\n",
            "Name the variables. Explain the loop:\n\n    for i in x:\n",
            [("code", "print(i)")],
        ),
        (OPTIONS, OPTIONS.replace("\n- moth", "") + "\nThen explain why.", [("option", "moth")]),
        (
            "Which is red?\n(A) sky\n(B) rose\nC. grass",
            "Which is red? Say why.\n(A) rose\n- (B) sky\nC) grass",
            [("option", "(A) sky"), ("option", "(B) rose")],
        ),
        (
            "Which fits? (A) red (B) green (C) blue",
            "Define hue. Which fits? (A) red (B) green (C) bluish",
            [("option", "blue")],
        ),
        (
            "Add 17 and 1,250.5, and take three.",
            "Add 17 and the other number.",
            [("number", "1,250.5"), ("number", "three")],
        ),
        (
            'Translate "Good night, Moon." into Czech.',
            "Name the language family. Translate the sentence into Czech.",
            [("quote", '"Good night, Moon."')],
        ),
        (
            "Sum up https://example.org/a?b=1, and write to jo@example.org.",
            "Sum up the page, list its parts, and write to the author.",
            [("link", "https://example.org/a?b=1"), ("link", "jo@example.org")],
        ),
        (
            "Plants need light. Why do leaves turn yellow in autumn?",
            "Plants need light. Explain photosynthesis.",
            [("question", "Why do leaves turn yellow in autumn?")],
        ),
        (
            "Write an e-mail to the guests about the garden party. Be polite.",
            "List what must be prepared. Be polite.",
            [("wording", "Write an e-mail to the guests about the garden party.")],
        ),
        (
            "Translate the text.\n\nThe cat sleeps. The dog, too.",
            "Name the animals. Then translate the text.",
            [("wording", "The cat sleeps."), ("wording", "The dog, too.")],
        ),
        ("请问这本书的作者是谁？", "请列出三种水果。", [("question", "请问这本书的作者是谁？")]),
    ],
)
def test_lost_content_is_named(original, rewritten, missing):
    found = lost(original, rewritten)
    assert [kind for kind, _ in found] == [kind for kind, _ in missing]
    for (_, text), (_, wanted) in zip(found, missing, strict=True):
        assert wanted is None or text == wanted


@pytest.mark.parametrize(
    ("original", "rewritten"),
    [
        ("Add 1,000 and 3.50.", "First name the larger one. Add 1000 and 3.5."),
        ("Print it at $.10 a page.", "Name the price of 5 pages. Print it at $0.10 a page."),
        ("Er läuft 3-mal 12 km.", "Er läuft dreimal zwölf km. Rechne es in Meter um."),
        ("他每周跑 3 次，每次 10 公里。", "他每周跑三次，每次十公里。请先算出总数。"),
        ("What happened to Schrodinger's cat?", "Who was he? What happened to Schrödinger’s cat?"),
        ("Which?\na) 30\nb) 34", "Define it. Which?\n- (A) 30\n- B. 34"),
        ("Name three of the 12 signs.", "Define a sign. Name 3 of the twelve signs."),
        ("Two dogs weigh 8 kg.", "Both dogs: they weigh eight kg. Draw one."),
        ("Say “yes” — or 'no'…", 'Define a vote. Say "Yes" - or "no"...'),
        ("Is it «ici» or «là»?", "Translate. Is it 'ici' or ‘là’?"),
        ("Options:\n(A) a red  fox\n(B) an owl.", "Pick from: A RED FOX; an owl"),
        (f"Sort it.\n{TABLE}", f"Sort it, add a row.\n{TABLE.replace(' | ', '|')}"),
        ('Simplify "One, two.<br><br>Three."', 'Define text. Simplify "One, two.\n\nThree."'),
        ('"One was, Two was too." Who was?', "“One was Two was, too.” Who was? Explain."),
        (
            '"Why is the sky blue, and since when?"',
            "Why is the sky blue, and since when? Sum it up.",
        ),
        ("1. Describe photosynthesis", "Define light. Describe photosynthesis."),
        ("Explain `x = 1`.", "Name the type. Explain x = 1."),
        ("Can you please help me?", "Write a poem."),  # no content words
        ("", "Anything."),
    ],
)
def test_another_formatting_is_not_a_loss(original, rewritten):
    assert lost(original, rewritten) == []


def test_short_spans_are_whole_words():
    assert kinds("Which?\n- rat\n- elk", "Which, then explain?\n- crate\n- elk") == {"option"}
    assert kinds("Use “art” in it.", "Use the start of it, then party.") == {"quote"}
    assert kinds("Multiply by 7.", "Multiply by 77, then by 0.7.") == {"number"}


def test_content_in_the_context_is_not_lost():
    original = f"Solve this for 5.\n{OPTIONS}"
    assert lost(original, "Solve this.", f"5\n{OPTIONS}") == []
    assert kinds(original, "Solve this.") == {"number", "option", "question"}


def test_a_rephrased_question_is_still_the_question():
    original = "Who painted the ceiling of the chapel in Rome that popes are elected in?"
    rewritten = (
        "Name the chapel in Rome in which popes are elected. Then say who made its frescoes."
    )
    assert lost(original, rewritten, rephrased=True) == []
    assert kinds(original, "Describe the frescoes of Florence.", rephrased=True) == {
        "question",
        "wording",
    }


def test_a_rephrased_text_keeps_its_numbers_code_and_options():
    for text, kind in (
        (CODE, "code"),
        (TABLE, "table"),
        (OPTIONS, "option"),
        ("Add 17.", "number"),
    ):
        assert kind in kinds(text, "List the parts, then say what they do.", rephrased=True)


def test_a_span_has_one_kind():
    text = f"Look at 3:\n{CODE}\n{TABLE}\n- item 4\n“5”, see https://x.org/6"
    found, rest = find_verbatim_spans(text)
    assert [span.kind for span in found] == [
        *("code", "table", "table", "table", "option", "quote", "link")
    ]
    assert rest.split() == ["Look", "at", "3:", ",", "see"]


PARTS = (
    "`a`",
    '"b"',
    "| c | d |",
    "- e",
    "(A) f",
    "7",
    "x\ty",
    "```\ng\n```",
    "Why h?",
    "\n",
    "https://i.org",
)


@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=8), max_size=12).map(" ".join))
def test_a_text_retains_its_own_content(text):
    assert lost_content(text, text) == []
    assert lost_content(text, f"First name its topic.\n{text}\nThen translate it.") == []


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_are_compared(one, other):
    assert all(each.kind and each.text for each in lost_content(one, other))


@pytest.mark.timeout(60)  # a quadratic search would take minutes
@pytest.mark.parametrize(
    "sign",
    ['"', "`", "|", "(", "?", "“", "1,", "```\n", "-\n", "a\t", "'", "http://", "a@", "'a ", " "],
)
def test_long_texts_are_searched_in_time(sign):
    found = lost_content(sign * 20_000, "x" * 20_000)
    assert len(found) < 20_001


def test_inflections_have_the_same_stem():
    for one, other in (
        ("describe", "descriptions"),
        ("movies", "movie"),
        ("planning", "plans"),
        ("cities", "city"),
        ("listed", "lists"),
        ("making", "make"),
    ):
        assert content_words(one) == content_words(other)
    assert content_words("First, tell me what it is, then go on.") == []
    assert content_words("你好吗") == ["你好", "好吗"]


@pytest.mark.parametrize(
    "text",
    [
        "Sum up [insert the article here].",
        "Translate <your text here> into Greek.",
        "List the parts of [The article goes here].",
        "THIS EVALUATION FAILED AFTER 5 ATTEMPTS.",
        "#New Instruction#: Name a tree.",
        "Name a tree, then a bird.###",
        "### Response:",
        "New instruction: name a tree.",
        "Name the verbs of the given instruction.",
        "Do what the original instruction says.",
        "Name a tree.</instruction>",
        "<thought>Name a tree.",
        "N/A",
        "...",
        "Sure! Name a tree, then a bird.",
        "I'm sorry, but I cannot rewrite it. Name a tree.",
        "Here is the rewritten prompt: name a tree.",
        "**Instruction:** Name a tree.",
        "Original task: name a tree.",
        "Name a bird. Then answer the original question.",
        "Name a bird. ... Name a tree.",
        "Name a bird [...] and a tree.",
        "Name a bird &amp; a tree.",
        "Name a bird.\\nName a tree.",
    ],
)
def test_leftovers(text):
    assert list(leftovers(text, "Name a tree."))
    assert not list(leftovers(text, text))  # text of the source is not a leftover


@pytest.mark.parametrize(
    "text",
    [
        "Write a letter that begins with Dear [Name].",
        "## Plan\n\nSort the list [3, 1, 2].",
        "Follow the instructions of the recipe, then give the new price.",
        "What does `<input type='text'>` show? See item #3.",
        "Explain x[i] and {add(x)}; then <b>print</b> it.",
        "List the steps of the provided method (see below).",
        "Go on with the numbers 1, 4, 9, ... and print them with a \\n each.",
        "Task 1: Name a bird.\nTask 2: Is it sure? Certainly, here are prompts.",
        "Instructions: name a bird, an AT&T office and the original painting.",
    ],
)
def test_no_leftovers(text):
    assert list(leftovers(text, "Name a tree.")) == []


@pytest.mark.parametrize(
    "task",
    [
        "Read the text.",
        "First, carefully read the text about cats and dogs.",
        "Understand what is asked.",
        "Think about what you would describe.",
        "Familiarize yourself with the table.",
        "Consider the options below",
        "Repeat the question.",
        "Please take a close look at the graph.",
        "1. Study the map and remember it.",
        "After reading the text, reflect on it.",
        "Take a deep breath.",
        "Lies den Text aufmerksam.",
        "D'abord, lis le texte.",
        "Lee el texto.",
        "请仔细阅读文章。",
    ],
)
def test_tasks_without_a_response(task):
    assert not has_own_response(task)


@pytest.mark.parametrize(
    "task",
    [
        "Read the text and name its author.",
        "Consider this: what is the capital of Peru?",
        "Understand the sum, then write the result.",
        "Study the graph to determine its slope.",
        "Look up the word's origin.",
        "Reading aside, list three hobbies.",
        "Readjust the table.",
        "Identify the verb.",
        "Read the article and take notes of times and places.",
        "Reflect on what you learned from it.",
        "Lies den Text und nenne die Verfasserin.",
        "Lies den Text auf Fehler durch.",
        "阅读文章并回答问题。",
        "Прочитай текст.",  # unsupported language
    ],
)
def test_tasks_with_a_response(task):
    assert has_own_response(task)


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("How deep is it", False),
        ("How deep is it?", True),
        ("The lake is 81 m deep, and the other one 706 m.", False),
        ("The lake is deep. Name another one.", True),
        ("First, please describe it", True),
        ("Der See ist tief, größer ist keiner.", True),  # unsupported language
    ],
)
def test_texts_that_may_be_a_request(text, may):
    assert may_be_a_request(text) == may


def test_real_rewrites(data):
    """805 rewrites by GPT-4; the flagged ones were inspected one by one."""
    pairs = orjson.loads((data / "seqeval" / "seqEval_iteration_1.json").read_bytes())
    flagged: dict[str, set[int]] = {"prefix": set(), "suffix": set(), "interpolate": set()}
    for index, pair in enumerate(pairs):
        mode = pair["seq_mode"]
        texts = pair["ori_instruction"], pair["seq_instruction"]
        if lost_content(*texts, rephrased=mode == "interpolate"):
            flagged[mode].add(index)
    # Each of these lacks content of its original, except that 505 and 636 rephrase it.
    assert flagged["prefix"] == {248, 266, 273, 486, 538, 575, 636}
    assert flagged["suffix"] == {150, 336, 376, 487, 505, 553, 564, 566, 632, 635}
    assert 40 <= len(flagged["interpolate"]) <= 46  # of 254
    # Code, formats, a chat, a price, a passage that the new instruction refers to but lacks.
    assert flagged["interpolate"] > {438, 513, 626, 628, 684, 149, 229, 492, 573, 574, 648, 707}


def test_real_rewrites_have_no_leftovers(data):
    pairs = orjson.loads((data / "seqeval" / "seqEval_iteration_1.json").read_bytes())
    texts = [pair["seq_instruction"] for pair in pairs]
    assert [text for text in texts if any(leftovers(text, ""))] == []
    assert all(any(leftovers(pair["full_response"], "")) for pair in pairs)
