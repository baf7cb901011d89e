"""The reference implementation's answer format: our parser, its own rules, and its output."""

import json
import re
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.paths import ROOT

from seqit.augment.form import AnswerField, TaggedForm
from seqit.augment.seq_instruct.paper.form import PaperForm, PaperParser
from seqit.augment.seq_instruct.paper.format import (
    parse_explanation,
    parse_instruction,
    parse_option,
    parse_verdict,
)
from seqit.augment.seq_instruct.paper.reference import (
    instruction_difference,
    option_difference,
    reference_instruction,
    reference_option,
    reference_refinement,
    refinement_difference,
)
from seqit.errors import RowError
from seqit.llm.model_call import ParseError
from seqit.records.identity import content_id
from seqit.records.paper import instruction as paper_instruction
from seqit.records.reading_comparison import ReadingDifference, reading_difference

HEAD = "#Explanation#:\nA step before it helps.\n\n#New Instruction#:\n"
EXAMPLE = (
    "*** Example 1 ***\n#Original Instruction#:\nDo E.\n\n#New Instruction#:\nDo E. Do F.###\n"
    "*** End of Example 1 ***\n\n"
)


def compare(text, published):
    """Return how our parser's result for a completion differs from the published one, or None."""
    try:
        return reading_difference(parse_instruction(text), published)
    except ParseError as error:
        return reading_difference(None, published, str(error))


# --- real completions ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def completions(data):
    return json.loads((data / "seqeval" / "seqEval_iteration_1.json").read_bytes())


def defects():
    """Return the rows of the table in docs/paper-parser.md: number → (kind, published, ours)."""
    rows = re.findall(
        r"^\| (\d+) \| (\w+) \| `(.+?)` … \| (?:`(.+?)` …|nothing) \|",
        (ROOT / "docs" / "paper-parser.md").read_text(),
        re.MULTILINE,
    )
    return {int(number): cells for number, *cells in rows}


def test_every_recorded_completion_gives_what_was_published_but_for_the_listed(completions):
    listed = defects()
    assert len(completions) == 805 and len(listed) == 3
    for number, item in enumerate(completions):
        found = compare(item["full_response"], item["seq_instruction"])
        assert (found is not None) == (number in listed)
        if found:
            kind, published, ours = listed[number]
            assert found.kind == kind and found.theirs.startswith(published)
            assert (found.ours or "").startswith(ours) and bool(found.ours) == bool(ours)


def test_the_import_command_reports_the_same(completions, data, seqit, tmp_path):
    file = data / "seqeval" / "seqEval_iteration_1.json"
    manifest, rejects = tmp_path / "manifest.json", tmp_path / "rejects.jsonl"
    ran = seqit("import", file, "--manifest", manifest, "--rejects", rejects)
    assert (ran.code, len(ran.rows)) == (3, 803) and "read as seq-instruct" in ran.err
    parser = json.loads(manifest.read_bytes())["counts"]["parser"]
    assert parser["instruction"] == {"same": 802, "form": 1, "unreadable": 2}
    assert [each["kind"] for each in parser["differences"]] == ["form", "unreadable", "unreadable"]
    refused = [json.loads(line)["row"] for line in rejects.read_bytes().splitlines()]
    assert refused == [completions[336], completions[564]]
    kept = [item for item in completions if item not in refused]
    for row, item in zip(ran.rows, kept, strict=True):
        published = item["seq_instruction"]
        assert row["instruction"] == published or row["metadata"]["difference"] == "form"
        seed = {"instruction": item["ori_instruction"], "input": "", "output": ""}
        assert row["lineage"]["root"] == row["lineage"]["parent"] == content_id(seed)
    operations = Counter(row["lineage"]["operation"] for row in ran.rows)
    assert operations == {"suffix": 286, "prefix": 263, "decompose": 254}


def test_the_listed_completions_are_as_the_list_says(completions):
    item = completions[221]
    assert f'"{parse_instruction(item["full_response"])}"' == item["seq_instruction"]
    assert completions[336]["full_response"].endswith("the sound of")
    task, questions, rest = completions[564]["full_response"].split("###")
    assert task.endswith(completions[564]["seq_instruction"])
    assert "**Question1**" in questions and "**Question2**" in questions
    assert not rest.strip()


def test_the_reference_implementation_reads_thirteen_of_them_otherwise(completions):
    kinds = [instruction_difference(item["full_response"]) for item in completions]
    assert Counter(each.kind for each in kinds if each) == {"content": 11, "unreadable": 2}
    # Eleven times it takes the closing quote of a quotation that ends the instruction.
    assert all(each.ours == f'{each.theirs}"' for each in kinds if each and each.ours)


def test_text_after_the_end_is_no_part_of_it(completions):
    assert completions[273]["full_response"].endswith("###\n\nPlease write in English language.")
    assert compare(completions[273]["full_response"], completions[273]["seq_instruction"]) is None


def test_the_recorded_explanations_are_whole(completions):
    for item in completions:
        explanation = parse_explanation(item["full_response"])
        assert explanation and "#" not in explanation.replace("C#", "")
        assert explanation in item["full_response"]


# --- instructions ----------------------------------------------------------------------------

# (completion, instruction)
READ = {
    "as asked for": (HEAD + "Do X. Then do Y.###", "Do X. Then do Y."),
    "no colon": ("#New Instruction#\nDo X.###", "Do X."),
    "on one line": ("#New Instruction#: Do X.###", "Do X."),
    "on one line, no colon": ("#New Instruction# Do X.###", "Do X."),
    "end on its own line": (HEAD + "Do X.\n###\n", "Do X."),
    "end after a space": (HEAD + "Do X. ###", "Do X."),
    "other case": ("#NEW INSTRUCTION#:\nDo X.###", "Do X."),
    "spaces in the marker": ("# New  Instruction # :\nDo X.###", "Do X."),
    "no-break spaces": ("#New\u00a0Instruction#:\u00a0Do\u00a0X.###\u00a0", "Do\u00a0X."),
    "bold marker": ("**#New Instruction#**:\nDo X.###", "Do X."),
    "bold marker with its colon": ("**#New Instruction#:**\nDo X.###", "Do X."),
    "bold words": ("**New Instruction**: Do X.###", "Do X."),
    "a heading": ("### New Instruction\n\nDo X.###", "Do X."),
    "bold text after the marker": ("#New Instruction#: **Now** do X.###", "**Now** do X."),
    "Windows line ends": ("#New Instruction#:\r\nDo X.\r\nDo Y.###\r\n", "Do X.\r\nDo Y."),
    "chatter": (HEAD + "Do X.###\n\nI hope that helps! ### is the end.", "Do X."),
    "chatter with headings": (HEAD + "Do X.###\n\n### Why\nIt is longer.", "Do X."),
    "the end twice": (HEAD + "Do X.###\n###", "Do X."),
    "explanation after it": ("#New Instruction#:\nDo X.###\n\n#Explanation#:\nIt helps.", "Do X."),
    "original echoed before": ("#Original Instruction#:\nDo.\n\n" + HEAD + "Do X.###", "Do X."),
    "prose mentions": (
        "#Explanation#:\nThe new instruction should ask more.\nThe #New Instruction# follows.\n"
        "#New Instruction#:\nDo X.###",
        "Do X.",
    ),
    "in a fence": ("```\n" + HEAD + "Do X.###\n```", "Do X."),
    "after reasoning": (
        "<think>\n#New Instruction#: Do Z.###\n</think>\n" + HEAD + "Do X.###",
        "Do X.",
    ),
    "heading": (HEAD + "### Task\nDo X.\n### Data\n1, 2###", "### Task\nDo X.\n### Data\n1, 2"),
    "closed heading": (HEAD + "### Task ###\nDo X.###", "### Task ###\nDo X."),
    "comments in code": (
        HEAD + "Explain it:\n```python\n### setup\nx = 1 ###\n```\nThen run it.###",
        "Explain it:\n```python\n### setup\nx = 1 ###\n```\nThen run it.",
    ),
    "code at the end": (HEAD + "Fix:\n```\n###\n```###\nDone.", "Fix:\n```\n###\n```"),
    "marker in code": (
        HEAD + "Fix:\n```\n#New Instruction#:\nX ###\n```\nThen test.###",
        "Fix:\n```\n#New Instruction#:\nX ###\n```\nThen test.",
    ),
    "code that is never closed": (HEAD + "Fix:\n```python\nx = 1###", "Fix:\n```python\nx = 1"),
    "table": (HEAD + "| a | b |\n|---|---|\n| 1 | 2 |\nSum it.###", None),
    "about the marks": (
        HEAD + "What does '###' mean after #New Instruction#? Then say what ## means.###",
        "What does '###' mean after #New Instruction#? Then say what ## means.",
    ),
    "C sharp": (HEAD + "Sort a list. Then do it in C####", "Sort a list. Then do it in C#"),
    "straight quotes": (HEAD + '"Do X. Then "quote" it."###', 'Do X. Then "quote" it.'),
    "curly quotes": (HEAD + "“Do X.”###", "Do X."),
    "curly and straight": (HEAD + '“Do X. Then "quote" it."###', 'Do X. Then "quote" it.'),
    "single quotes": (HEAD + "'Play the player's part.'###", "Play the player's part."),
    "two quoted words": (HEAD + '"Yes" or "No"###', '"Yes" or "No"'),
    "a quote at the start": (HEAD + "“One” is what? Say why.###", "“One” is what? Say why."),
    "unbalanced quotes": (HEAD + '"Read it. "Short text."###', '"Read it. "Short text."'),
    "the end within the quotes": (HEAD + '"Do X. Then Y.###"', "Do X. Then Y."),
    "fenced by itself": (HEAD + "```\nDo X.###\n```", "Do X."),
    "bold end": (HEAD + "Do X.\n**###**", "Do X."),
    "ended twice at once": (HEAD + "Do X.###\n###", "Do X."),
    "colon in the marker": ("#New Instruction:#\nDo X.###", "Do X."),
    "bold in the marker": ("#**New Instruction**#:\nDo X.###", "Do X."),
    "one hash": ("#New Instruction: Do X.###", "Do X."),
    "underscore and plural": ("#New_Instructions#:\nDo X.###", "Do X."),
    "a heading with the marker": ("### #New Instruction#:\nDo X.###", "Do X."),
    "numbered parts": ("1. #Explanation#: It helps.\n2. #New Instruction#: Do X.###", "Do X."),
    "bold and numbered": ("1. **Explanation:** Why.\n2. **New Instruction:** Do X.###", "Do X."),
    "full width": ("＃New Instruction＃：Do X.###", "Do X."),
    "words alone, in capitals": ("Explanation: Why.\n\nNew Instruction:\nDo X.###", "Do X."),
    "led in": ("Sure! Here is the #New Instruction#:\nDo X.###", "Do X."),
    "a note on the marker": (
        "#New Instruction# should add a step.\n\n#New Instruction#:\nDo X.###",
        "Do X.",
    ),
    "the words in the explanation": (
        "#Explanation#:\nThe new instruction: it asks more.\nnew instruction: so\n\n"
        "#New Instruction#:\nDo X.###",
        "Do X.",
    ),
    "line ends of old": ("#Explanation#:\rWhy.\r#New Instruction#:\rDo X.\r###", "Do X."),
    "line separators": (
        "#Explanation#:\u2028Why.\u2028#New Instruction#:\u2028Do X.\u2028Do Y.\u2028###",
        "Do X.\u2028Do Y.",
    ),
    "signs without width": (
        "\u200b#New\u200b Instruction#:\u200b\n\u200bDo X.\ufeff###\u200b",
        "Do X.",
    ),
    "the end of a turn": (HEAD + "Do X.###<|eot_id|>", "Do X."),
    "examples before it": (EXAMPLE * 2 + HEAD + "Do X.###", "Do X."),
    "an example after it": (
        HEAD + "Do X.###\n*** End of Example 4 ***\n\n" + EXAMPLE.replace("1", "5"),
        "Do X.",
    ),
    "the end of the example in the line": (HEAD + "Do X.### *** End of Example 4 ***", "Do X."),
    "an example that is cut off": (HEAD + "Do X.###\n\n" + EXAMPLE[:80], "Do X."),
    "an example of its own": (
        HEAD + "Edit:\n*** Example 1 ***\n1 + 1\n*** End of Example 1 ***\nGo on.###",
        "Edit:\n*** Example 1 ***\n1 + 1\n*** End of Example 1 ***\nGo on.",
    ),
    "the explanation after it": (HEAD + "Do X.###\n\n#Explanation#:\nIt helps.###", "Do X."),
    "another original after it": (HEAD + "Do X.###\n\n#Original Instruction#:\nDo", "Do X."),
    "said again": (HEAD + "Do X.###\n\n#New Instruction#: Do X.###", "Do X."),
    "a fence that is mentioned": (
        "#Explanation#:\nKeep the ``` marks.\n\n#New Instruction#:\nFix:\n```\na\n```\nTest.###",
        "Fix:\n```\na\n```\nTest.",
    ),
    "after reasoning that the template opened": (
        "I think.\n#New Instruction#:\nDo Z.###\n</think>\n\n" + HEAD + "Do X.###",
        "Do X.",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_reads_the_marked_place(name):
    completion, instruction = READ[name]
    expected = completion.removeprefix(HEAD).removesuffix("###")
    assert parse_instruction(completion) == (expected if instruction is None else instruction)


UNREADABLE = {
    "failure placeholder": ("THIS EVALUATION FAILED AFTER 5 ATTEMPTS.", "not given"),
    "the original echoed": ("What is a mammal?", "not given"),
    "prose alone": ("The new instruction: do X, then Y.###", "not given"),
    "prose with hashes": ("I will write the #New Instruction# now.###", "not given"),
    "bold prose": ("**New instruction** texts should be long.###", "not given"),
    "no end": (HEAD + "Do X.", "not ended"),
    "chatter on the line of the end": (HEAD + "Do X.### Let me know!", "not ended"),
    "hashes of a heading alone": (HEAD + "### Task\nDo X.\n### Data\n1, 2", "not ended"),
    "a row of hashes": (HEAD + "Do X.\n######", "not ended"),
    "empty": (HEAD + "###", "empty"),
    "quotes around nothing": (HEAD + '""###', "empty"),
    "two markers": (HEAD + "Do X.###\n\n#New Instruction#:\nDo Y.###", "2 times"),
    "ended twice": (HEAD + "Check them.###\n\nQuestion 1: Why?\n###", "more than once"),
    "delimiters in the text": (HEAD + "Sum up:\n###\nSome text.\n###\n###", "more than once"),
    "explanation before the end": (
        "#New Instruction#:\nDo X.\n\n#Explanation#:\nIt helps.###",
        "another part",
    ),
    "bold explanation before the end": (
        "**New Instruction:**\nDo X.\n\n**Explanation:** It helps.###",
        "another part",
    ),
    "white space alone": (HEAD + " \n\t\u200b\n###", "empty"),
    "three dots": (HEAD + "...###", "empty"),
    "a stand-in": (HEAD + "[your new instruction here]###", "stands where"),
    "prose in small letters": ("new instruction: ask for more\nDo X.###", "not given"),
    "prose after the marker": ("#New Instruction# should ask more.\nDo X.###", "not given"),
    "a note in brackets": ("#New Instruction# (final):\nDo X.###", "not given"),
    "a dash or an item": ("#New Instruction# - Do X.\n- Do Y.###", "not given"),
    "four hashes": (HEAD + "Do X.####", "not ended"),
    "hashes in quotes": (HEAD + 'Explain what is meant by "###"', "not ended"),
    "more quotes than one": (HEAD + '"Explain" what is meant by "###"', "not ended"),
    "examples alone": (EXAMPLE * 3, "not given"),
    "another answer after an original": (
        HEAD + "Do X.###\n\n#Original Instruction#:\nDo Z.\n\n#New Instruction#:\nDo Y.###",
        "2 times",
    ),
    "options after the end": (
        HEAD + "Choose.###\n\n#Option#: one\n#Option#: two\n###",
        "more than",
    ),
    "reasoning that is cut off": ("<think>\n#New Instruction#:\nDo Z.###", "cut off"),
    "the next example": (HEAD + "Do X.\n\n#Original Instruction#:\nDo Z.###", "another part"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_guesses_at_nothing(name):
    completion, problem = UNREADABLE[name]
    with pytest.raises(ParseError, match=problem):
        parse_instruction(completion)


PIECES = [*"abC .:?!\"'“”‘’()#*`~|-_>\\\r\t\u00a0é漢", "\n", "\n", "###", "```"]
TEXTS = st.lists(st.sampled_from(PIECES)).map("".join)
HEADS = st.sampled_from(
    [
        HEAD,
        "#New Instruction#\n",
        "#New Instruction#: ",
        "#new instruction#:\n\n",
        "**New Instruction:**\n",
        "The new instruction asks more.\r\n\r\n#New Instruction#:\r\n",
    ]
)
CHATTER = st.sampled_from(["", "\n", "\r\n", " \n\nLet me know!", "\n### Note\nThat was it."])


@given(TEXTS, HEADS, st.sampled_from(["###", "\n###", "\r\n###"]), CHATTER)
@example("### Setup\nDo it in C#", HEAD, "###", "")
@example("```\n### a\n```", HEAD, "###", "\n")
def test_what_is_wrapped_is_read_back(text, head, end, chatter):
    text = text.strip()
    assume(re.search(r"[^\W_]", text) and text[0] not in "\"'“‘")  # quotes around it are dropped
    assume(not re.search(r"###\s*([\r\n]|\Z)", text))  # an end marker; a lone CR ends a line
    assume(not text.endswith("#") or (text.endswith("C#") and not text[:-2][-1:].isalnum()))
    assert parse_instruction(f"{head}{text}{end}{chatter}") == text


@given(TEXTS, TEXTS)
def test_code_may_hold_the_end_marker(before, code):
    assume("`" not in before + code and "~" not in before + code)
    assume(re.search(r"[^\W_]", before + code))
    assume(not before.strip() or before.strip()[0] not in "\"'“‘")
    assume(not re.search(r"###\s*(\n|\Z)", before.strip()))
    text = f"{before.strip()}\n```\n{code}\n###\n```".strip()
    assert parse_instruction(f"{HEAD}{text}###") == text


@given(
    st.text(), st.sampled_from(["#New Instruction#:\n", "###", "#Explanation#", '"', "Answer: "])
)
def test_any_text_is_read_or_refused(text, piece):
    completion = f"{text}{piece}{text}###"
    for read in (parse_instruction, parse_option, parse_verdict):
        try:
            read(completion)
        except ParseError as error:
            assert str(error) and error.reason == "unparseable"


@pytest.mark.parametrize("piece", [" ", "#", "*", "`", '"', "```x\n", "\n1. "])
def test_no_text_takes_its_length_squared(piece):
    long = piece * (300_000 // len(piece))  # squared, it would take longer than a test may
    for read, begin in ((parse_instruction, HEAD), (parse_option, "So the option is: A")):
        with suppress(ParseError):
            read(f"{begin}{long}b###")


def test_the_end_of_a_completion_that_is_finished_is_an_end():
    assert paper_instruction.parse_instruction(f"{HEAD}Do X.\n", finished=True) == "Do X."
    assert paper_instruction.parse_instruction(f"{HEAD}Do X.###\nYes?", finished=True) == "Do X."
    with pytest.raises(RowError, match="another part"):
        paper_instruction.parse_instruction(f"{HEAD}Do X.\n\n#Option#: A", finished=True)


@given(
    st.text(st.characters(exclude_characters="“”\"'‘’"), min_size=1),
    st.sampled_from(["“”", '""', '“"']),
)
def test_quotes_around_all_of_it_are_dropped(text, quotes):
    assume(re.search(r"[^\W_]", text))
    completion = f"{HEAD}{quotes[0]}{text.strip()}{quotes[1]}###"
    assume("###\n" not in text and "```" not in text and "~~~" not in text)
    assert parse_instruction(completion) == text.strip()


# --- options ---------------------------------------------------------------------------------

CHOICES = "The instruction is: Where is it? A. Paris B. Rome\nA. Paris\nB. Rome\n\n"
OPTIONS = {
    "So the option is: C.###": "C",
    "So the option is: C": "C",
    "so the option is:\nC": "C",
    "The option is B": "B",
    "Therefore, the best option is (D).": "D",
    "So the option is: **A**.": "A",
    "**So the option is: B**": "B",
    "So the option is: “C”.": "C",
    "So the option is: Option C.": "C",
    "So the option is: B. Add a prefix task": "B",
    "So the option is: C, a suffix task, because A would repeat": "C",
    "#Option#: D": "D",
    "#Option#\nD": "D",
    "**Option:** A": "A",
    "It could be kept (option D).\nSo the option is: A.###": "A",
    "The option is A if it has two parts. So the option is: B.": "B",
    "This modification (Option A) adds a prefix task.": None,
    "So the option is: A or B.": None,
    "So the option is: A, not B.": "A",
    "So the option is: not A, but C.": "C",
    "So the option is: B rather than A or C.###": "B",
    "So the option is: c.": "C",
    "So the option is: option d": "D",
    "So the option is: C) add a suffix task": "C",
    "So the option is: (B) Prefix, since the text is long.": "B",
    "So the option is: <B>": "B",
    "So the option is： C。": "C",
    "So the option is:\u2028C": "C",
    "So, the most suitable option is C.": "C",
    "### Option\nB": "B",
    "**Option**\nB. Add a prefix task": "B",
    "Final option: D": "D",
    EXAMPLE.replace("#New", "So the option is: A.###\n#New") + "So the option is: B.###": "B",
    "So the option is: C.###\n*** End of Example 9 ***\n\n"
    + EXAMPLE.replace("#New", "So the option is: A.###\n#New"): "C",
    "The answer is (A).": None,
    "The correct option is B. Rome": None,
    "I would choose option B because option A is worse.": None,
    "Option B: Add a prefix task": None,
    "**Option:**\nA. Paris\nB. Rome": None,
    "So the option is: (A) or (C).": None,
    "So the option is: (A)?": None,
    "So the option is: A/B": None,
    "So the option is: C. But B would do too.": None,
    "So the option is not A.": None,
    "Not A, but C": None,
    "So the option is: E.": None,
    "So the option is: none of them": None,
    "So the option is: a good one": None,
    "So the option is: A? Perhaps.": None,
    "The option is A. No, the option is unclear": None,
    "The option is A. On second thoughts:\nSo the option is: D.": None,
    "So the option is: B.\n#Option#: C": None,
    "I do not think that the option is A.": None,
    "C": None,
    "": None,
    "THIS EVALUATION FAILED AFTER 5 ATTEMPTS.": None,
}


@pytest.mark.parametrize("echo", ["", CHOICES], ids=["alone", "with echoed choices"])
@pytest.mark.parametrize("text", OPTIONS)
def test_reads_an_option_from_its_verdict_alone(text, echo):
    if OPTIONS[text]:
        assert parse_option(echo + text) == OPTIONS[text]
    else:
        with pytest.raises(ParseError, match=r"the option is"):
            parse_option(echo + text)


def test_reasoning_before_the_answer_is_not_the_answer():
    assert parse_option("<think>\nSo the option is: A.\n</think>\nSo the option is: B.") == "B"
    assert parse_verdict("\ufeff<think>Answer: no</think>\n\nAnswer: Yes") is True


@given(st.lists(st.sampled_from([*"ABCD.:\n ()", "option ", "prefix task "])).map("".join))
def test_no_verdict_is_no_option(text):
    assume(not re.search(r"(?m)^\s*option\s*:", text))
    with pytest.raises(ParseError):
        parse_option(text)


VERDICTS = {
    "Answer: Yes###": True,
    "Answer: No\n#New Instruction#: Do X.###": False,
    "**Answer:** yes.": True,
    "#Answer#: No": False,
    "Yes": True,
    "No, the table is missing.": False,
    "#Answer#\nNo": False,
    "The answer is: No###": False,
    "Answer: Yes (all is kept)": True,
    "Answer: Yes, but the table is missing.": None,
    "Yes. However, the table is missing.": None,
    "Answer: Yes or No": None,
    "No new instruction is needed.": None,
    "Answer: No\n#New Instruction#: Reply in this form.\nAnswer: yes###": False,
    "I know that it keeps all. Note the table.": None,
    "Nothing is lost.": None,
    "Answer: Not sure": None,
    "Answer: yes\nAnswer: no": None,
    "Answer: Yes and no": None,
}


@pytest.mark.parametrize("text", VERDICTS)
def test_reads_a_verdict_by_its_whole_word(text):
    if VERDICTS[text] is None:
        with pytest.raises(ParseError, match="verdict"):
            parse_verdict(text)
    else:
        assert parse_verdict(text) is VERDICTS[text]


# --- what the reference implementation would have read ---------------------------------------


@pytest.mark.parametrize(
    ("completion", "theirs", "kind"),
    [
        (HEAD + "Do X.###", "Do X.", None),
        (HEAD + "### Task\nDo X.###", "", "content"),
        (HEAD + "“Do X.”###", "“Do X.”", "form"),
        (HEAD + 'Define "to keep a promise."###', 'Define "to keep a promise.', "content"),
        ("The new instruction should do X.###", "should do X.", "unreadable"),
        (HEAD + "Do X. Say what #New Instruction# means.###", "means.", "content"),
        (HEAD + "Do X.", "Do X.", "unreadable"),
        ("THIS EVALUATION FAILED AFTER 5 ATTEMPTS.", None, None),
        ("#New_Instruction#: Do X.###", None, "unread"),
    ],
)
def test_where_the_reference_reads_another_instruction(completion, theirs, kind):
    assert reference_instruction(completion) == theirs
    reading_difference = instruction_difference(completion)
    assert (reading_difference and reading_difference.kind) == kind
    assert reading_difference is None or reading_difference.theirs == theirs


@pytest.mark.parametrize(
    ("completion", "theirs", "kind"),
    [
        ("So the option is: C.###", "C", None),
        (CHOICES + "So the option is C", "A", "content"),
        ("I cannot tell.", "D", "unreadable"),
        ("A suffix task would do.", "C", "unreadable"),
    ],
)
def test_where_the_reference_reads_another_option(completion, theirs, kind):
    assert reference_option(completion) == theirs
    reading_difference = option_difference(completion)
    assert (reading_difference and reading_difference.kind) == kind


@pytest.mark.parametrize(
    ("completion", "theirs", "kind"),
    [
        ("Answer: Yes###", None, None),
        ("Answer: No\n#New Instruction#: Do X.###", "Do X.", None),
        ("Yes. Note that the table is kept.", "Yes. Note that the table is kept.", "content"),
        ("Answer: No\n#New Instruction#: Do X.", "Do X.", "unreadable"),
    ],
)
def test_where_the_reference_reads_another_refinement(completion, theirs, kind):
    assert reference_refinement(completion) == theirs
    reading_difference = refinement_difference(completion)
    assert (reading_difference and reading_difference.kind) == kind


def test_a_difference_contains_both_results():
    assert compare(HEAD + "Do X.\n###", "Do  X.") == ReadingDifference("form", "Do X.", "Do  X.")
    assert compare("?", "Do X.") == ReadingDifference(
        "unreadable", None, "Do X.", "#New Instruction# is not given at the beginning of a line"
    )


# --- the form --------------------------------------------------------------------------------

REWRITE_FORM = TaggedForm(
    (AnswerField("thought"), AnswerField("instruction"), AnswerField("steps", is_list=True))
)
CLASSIFY_FORM = TaggedForm((AnswerField("thought"), AnswerField("option", tuple("ABCD"))))
REFINE_FORM = TaggedForm(
    (
        AnswerField("thought"),
        AnswerField("verdict", ("complete", "incomplete")),
        AnswerField("instruction", allow_empty=True),
        AnswerField("steps", is_list=True, allow_empty=True),
    )
)
REWRITE, CLASSIFY, REFINE = map(PaperForm.from_form, (REWRITE_FORM, CLASSIFY_FORM, REFINE_FORM))
VALUES = [
    (REWRITE, {"thought": "It helps.", "instruction": "### Task\nDo X.\n\nThen Y."}),
    (CLASSIFY, {"thought": "It has two parts.", "option": "A"}),
    (CLASSIFY, {"thought": "A. is an option there.", "option": "D"}),
    (REFINE, {"verdict": "complete", "instruction": ""}),
    (REFINE, {"verdict": "incomplete", "instruction": "Do X. Do Y."}),
]


@pytest.mark.parametrize(("form", "values"), VALUES)
def test_an_answer_that_is_shown_is_read_back(form, values):
    assert form.parse(form.render(values)) == values
    assert form.schema is None


def test_a_verdict_stands_first_and_alone():
    assert REFINE.render(VALUES[3][1]) == "Answer: Yes"
    assert REFINE.render(VALUES[4][1]) == "Answer: No\n\n#New Instruction#:\nDo X. Do Y.###"


def test_the_guidance_names_the_format_and_the_omitted_fields():
    assert REWRITE.guidance().endswith(
        " Leave steps out.\n\n#Explanation#:\n(thought)\n\n#New Instruction#:\n(instruction)###"
    )
    assert "So the option is: A or B or C or D.###" in CLASSIFY.guidance()
    assert "Answer: Yes or No" in REFINE.guidance()
    assert "Leave thought and steps out." in REFINE.guidance()


def test_a_complete_refinement_still_has_the_instruction_that_it_gives():
    values = REFINE.parse("Answer: Yes\n#New Instruction#:\nDo Z.###")
    assert values == {"verdict": "complete", "instruction": "Do Z."}  # the refine stage compares


def test_an_incomplete_refinement_needs_its_instruction():
    with pytest.raises(ParseError, match="not given"):
        REFINE.parse("Answer: No")


def test_the_parser_counts_what_the_reference_parses_differently():
    parser = PaperParser()
    rewrite, classify, refine = map(parser.form_for, (REWRITE_FORM, CLASSIFY_FORM, REFINE_FORM))
    for number in (0, 1, 2, 2, 3, 4):
        form, values = VALUES[number]
        counting = {"instruction": rewrite, "option": classify, "refinement": refine}[form.kind]
        assert counting.parse(form.render(values)) == values
    with pytest.raises(ParseError):
        classify.parse("I cannot tell.")
    differences = parser.summary.pop("differences")
    assert parser.summary == {
        "instruction": {"content": 1},
        "option": {"same": 1, "content": 2, "unreadable": 1},
        "refinement": {"same": 2},
    }
    assert [each["theirs"] for each in differences] == ["", "A", "A", "D"]
    assert differences[1] == {
        "reading": "option",
        "kind": "content",
        "ours": "D",
        "theirs": "A",
        "reason": "",
    }


def test_the_parser_shows_the_first_differences_and_counts_all():
    parser = PaperParser()
    form = parser.form_for(CLASSIFY_FORM)
    for _ in range(50):
        form.parse("Choose A. or not.\nSo the option is: B")
    assert parser.summary["option"] == {"content": 50}
    assert len(parser.summary["differences"]) == 20
    json.dumps(parser.summary)
