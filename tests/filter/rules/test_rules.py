"""Each rule: what it rejects, and what must pass."""

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import CASES

from seqit.errors import UsageError
from seqit.filter import RULES, Rejection, parse_rule

QUESTION = "What is the name of the longest river in South America?"


def record(instruction=QUESTION, output="The Amazon.", operation="seed", **more):
    lineage = {"root": "a", "iteration": 0, "operation": operation}
    fields = {"id": "a", "instruction": instruction, "input": "", "output": output}
    return fields | {"lineage": lineage} | more


def check(rule, *args, **more):
    return parse_rule(rule).check(record(*args, **more))


def reason(rule, *args, **more):
    rejection = check(rule, *args, **more)
    return rejection and rejection.reason


@pytest.mark.parametrize("output", ["", " \n\t", "\u200b", "\ufeff \u00a0\u2060", "\u3000"])
def test_empty_output(output):
    assert reason("empty-output", output=output) == "empty"


@pytest.mark.parametrize("output", ["0", ".", "(C)", " yes ", "🙌", "\u200bno"])
def test_short_outputs_are_not_empty(output):
    assert check("empty-output", output=output) is None


@pytest.mark.parametrize(
    ("rule", "expected", "message"),
    [
        ("length:max_words=3", "too-long", "the output has 4 words; at most 3 are allowed"),
        ("length:min_words=5", "too-short", "the output has 4 words; at least 5 are allowed"),
        ("length:max_characters=10", "too-long", "the output has 18 characters; at most 10"),
        ("length:min_characters=19", "too-short", "the output has 18 characters; at least 19"),
        ("length:max_words=4,min_words=4", None, ""),
        ("length:max_characters=18,min_characters=18", None, ""),
        ("length:field=input,max_words=0", None, ""),
        ("length:field=input,min_words=1", "too-short", "the input has 0 words"),
    ],
)
def test_length(rule, expected, message):
    rejection = check(rule, output="one two three four")
    assert (rejection and rejection.reason) == expected
    assert message in (rejection.message if rejection else "")


@given(st.text(alphabet="ab \n\u3000", max_size=40), st.integers(0, 12), st.integers(1, 12))
def test_length_counts_words_as_split_does(output, minimum, more):
    words = len(output.split())
    passed = check(f"length:min_words={minimum},max_words={minimum + more}", output=output) is None
    assert passed == (minimum <= words <= minimum + more)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("N/A", "stand-in"),
        ("TODO", "stand-in"),
        ("<noinput>", "stand-in"),
        ("No Output", "stand-in"),
        ("…", "stand-in"),
        (" ... ", "stand-in"),
        ("[Your answer here]", "stand-in"),
        ("[insert a short poem]", "unfilled-slot"),
        ("<your response to the question>", "unfilled-slot"),
        ("Lorem ipsum dolor sit amet, " + "consectetur adipiscing elit, " * 9, "lorem-ipsum"),
        ("THIS EVALUATION FAILED AFTER 5 ATTEMPTS.", "failed-call"),
        ("[ERROR]", "failed-call"),
        ("openai.error.RateLimitError: Rate limit reached", "failed-call"),
        ("Error code: 429 - {'error': {'message': 'quota'}}", "failed-call"),
    ],
)
def test_placeholder(output, expected):
    rejection = check("placeholder", output=output)
    assert rejection is not None and rejection.reason == expected
    assert rejection.evidence["field"] == "output"


@pytest.mark.parametrize(
    "output",
    [
        "yes",
        "(C)",
        "None",
        "null",
        "0",
        "-",
        "Todo",  # Spanish: everything
        "Dear [Name],\nplease [insert date] …",
        "(E) 24",
        "[1, 2]",
        "{{ matrix.version }}",
        "Error code: 404 means that the page does not exist.",
        "The upload failed after 5 attempts because the disk was full, and so we stopped.",
        "As an AI language model, I cannot say.",
        "<p>Lorem ipsum</p>",
        "",
    ],
)
def test_answers_that_are_not_placeholders(output):
    assert check("placeholder", output=output) is None


def test_a_placeholder_that_the_prompt_mentions_is_an_answer():
    asked = "Which colour is named? Answer N/A if there is none."
    assert check("placeholder", asked, "N/A") is None
    assert check("placeholder", "Write filler such as lorem ipsum.", "Lorem ipsum dolor") is None


def test_placeholders_in_the_prompt():
    failed = check("placeholder", "THIS EVALUATION FAILED AFTER 5 ATTEMPTS.", "I see.")
    assert failed and failed.evidence["field"] == "instruction"
    empty = check("placeholder", input="<noinput>")
    assert empty and empty.evidence["field"] == "input"


@pytest.mark.parametrize(
    "output", [QUESTION, QUESTION.upper(), f" {QUESTION}\n", "cafe\u0301 e\n?"]
)
def test_instruction_equals_output(output):
    instruction = QUESTION if "c" not in output[:1] else "Café e ?"
    assert reason("instruction-equals-output", instruction, output) == "equal"


@pytest.mark.parametrize("output", [f"{QUESTION} The Amazon.", "", "What?"])
def test_other_outputs_are_not_equal_to_the_instruction(output):
    assert check("instruction-equals-output", output=output) is None


@pytest.mark.parametrize(
    "output",
    [
        QUESTION,
        QUESTION.rstrip("?"),
        f'"{QUESTION}"',
        f"### Instruction:\n{QUESTION}\n\n### Response:\n",
        f"Question: {QUESTION}\nInput: about rivers\nAnswer:",
        f"{QUESTION}\n{QUESTION}",
    ],
)
def test_copied_instruction(output):
    rejection = check("copied-instruction", output=output, input="about rivers")
    assert rejection is not None and rejection.evidence["added_words"] == 0


@pytest.mark.parametrize(
    "output",
    [
        "The Amazon.",
        f"{QUESTION} Amazon",
        f"Question: {QUESTION}\nAnswer: (C)",
        f"The question is: {QUESTION} It is the Amazon.",
        "",
    ],
)
def test_outputs_that_add_an_answer_are_not_copies(output):
    assert check("copied-instruction", output=output) is None


def test_a_chain_that_restates_passes_for_any_min_added():
    rule, output = "copied-instruction:min_added=5", f"{QUESTION}\nAmazon"
    assert reason(rule, output=output) == "copied"
    steps = [{"instruction": "Restate the question."}, {"instruction": "Answer it."}]
    assert check(rule, output=output, operation="prefix", steps=steps) is None
    assert check(rule, output=output, operation="repeat") is None


def test_a_greeting_may_be_returned():
    assert check("copied-instruction", "Good morning!", "Good morning!") is None


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("a\x00b", "U+0000", 2),
        ("\x1b[31mred", "U+001B", 1),
        ("lost \ufffd", "U+FFFD", 6),
        ("half \ud83d", "U+D83D", 6),
        ("C1 \x81", "U+0081", 4),
        ("code \u202e}", "U+202E", 6),
        ("hidden\u200b\u200c\u200b\u200c text", "U+200B", 7),
        ("tags\U000e0041", "U+E0041", 5),
    ],
)
def test_non_printing(text, code, position):
    rejection = check("non-printing", output=text)
    assert rejection is not None
    assert rejection.evidence == {"field": "output", "code_point": code, "position": position}
    assert code in rejection.message
    assert reason("non-printing", instruction=text) == "non-printing"
    assert reason("non-printing", input=text) == "non-printing"


@pytest.mark.parametrize(
    "text",
    [
        "tab\tand\r\nlines",
        "👩‍👩‍👧 family",
        "می‌خواهم",  # zero-width non-joiner: Persian spelling
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # the flag of Scotland
        "\ufeffa byte order mark, as some contexts of XQuAD begin",
        "soft\u00adhyphen, one\u200bspace, \u200fmark",
        "naïve – “quotes” …",
    ],
)
def test_printing_text_passes(text):
    assert check("non-printing", output=text) is None


@pytest.mark.parametrize("passage", ["instruct\n- ", "AGAC", "I do not know what to say. "])
def test_loop(passage):
    text = "Words that rhyme: action, " + passage * 60
    rejection = check("loop", output=text[:-2])  # cut off in the middle of a passage
    assert rejection is not None and rejection.evidence["times"] >= 59


@pytest.mark.parametrize(
    "text",
    [
        "hello " * 5,
        "Title\n" + "=" * 300,
        "| --- " * 60 + "|\n| a | b |",
        "".join(f"{n}. Dry the leaf number {n} in a cool place.\n" for n in range(40)),
    ],
)
def test_texts_that_are_not_loops(text):
    assert check("loop", output=text) is None


def test_repetition_metrics():
    varied = " ".join(f"word{n}" for n in range(60))
    assert check("repetition", output=varied) is None
    lines = "\n".join([varied] + ["The same line again."] * 5)
    rejection = check("repetition", output=lines)
    assert rejection is not None
    assert rejection.message == "66.7% of the output's lines were said before; the limit is 30.0%"
    assert check("repetition:factor=10", output=lines) is None
    assert check("repetition:min_words=100", output=lines) is None
    twice = check("repetition", output=f"{varied} {varied}")
    assert twice is not None and "groups of 5 words" in twice.evidence["measure"]
    top = check("repetition", output=varied + " of the" * 30)
    assert top is not None and "one recurring group of 2" in top.evidence["measure"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("I'm sorry, but I cannot assist with that request.", "refusal"),
        ("Sorry, I can’t help.", "refusal"),
        ("As an AI language model, I have no opinion.", "self-reference"),
        ("I am sorry that you lost your cat.", None),
        ("The film is about an AI language model.", None),
    ],
)
def test_refusal(output, expected):
    assert reason("refusal", output=output) == expected


def test_keep_and_incomplete_chain():
    assert reason("keep", operation="keep") == "kept"
    assert check("keep", operation="prefix") is None
    step = {"instruction": "Do it."}
    assert reason("incomplete-chain", operation="prefix") == "too-few-steps"
    assert reason("incomplete-chain", operation="suffix", steps=[step]) == "too-few-steps"
    assert check("incomplete-chain", operation="decompose", steps=[step, step]) is None
    assert check("incomplete-chain", operation="keep") is None


def test_failing_check():
    named = {"instruction": "Name it.", "output": "Amazon"}
    loud = {
        "instruction": "Write it in capitals.",
        "check": {"kind": "uppercase", "of": "previous"},
    }
    assert check("failing-check") is None
    good = [named, loud | {"output": "AMAZON"}]
    assert check("failing-check", output="Amazon\nAMAZON", steps=good) is None
    bad = [named, loud | {"output": "amazon"}]
    rejection = check("failing-check", output="Amazon\namazon", steps=bad)
    assert rejection is not None and rejection.message.startswith("steps[1]: ")
    assert [each["step"] for each in rejection.evidence["steps"]] == [1]
    missing = check("failing-check", output="Amazon", steps=good)
    assert missing is not None and missing.evidence["steps"][0]["step"] == 1


DUPLICATE = "exact-duplicate"


@pytest.mark.parametrize(
    ("second", "is_duplicate"),
    [
        (record(), True),
        (record(QUESTION.upper() + "  "), True),
        (record(QUESTION.replace(" ", "\n")), True),
        (record(output="Another answer"), True),
        (record("What is the name of the longest river", input="in South America?"), True),
        (record(input="In km."), False),
        (record(system="Be brief."), False),
        (record(history=[["Hi", "Hello"]]), False),
        (record(images=["a.png"]), False),
        (record(QUESTION + "?"), False),
    ],
)
def test_exact_duplicate(second, is_duplicate):
    rule = parse_rule(DUPLICATE)
    assert rule.check(record() | {"id": "first"}) is None
    rejection = rule.check(second)
    assert (rejection is not None) == is_duplicate
    if rejection:
        assert rejection.evidence["duplicate_of"] == "first"


def test_superscripts_and_accents():
    rule = parse_rule(DUPLICATE)
    assert rule.check(record("What is 5²?")) is None
    assert rule.check(record("What is 52?")) is None
    assert rule.check(record("Ein Café, STRASSE")) is None
    assert rule.check(record("ein Cafe\u0301, straße")) is not None


def test_exact_duplicate_over_the_output_alone():
    rule = parse_rule("exact-duplicate:fields=output")
    assert rule.check(record("One?", "Yes.")) is None
    assert rule.check(record("Two?", "yes.", images=["a.png"])) is not None
    assert rule.check(record("One?", "No.")) is None


def chain(*names):
    steps = [{"instruction": f"Do {name}.", "output": name, "name": name} for name in names]
    return record(steps=[{k: v for k, v in step.items() if v} for step in steps] or None)


@pytest.mark.parametrize(
    ("rule", "passing"),
    [
        ("chain-length:max_steps=2", (1, 2)),
        ("chain-length:min_steps=2", (2, 3, 4)),
        ("chain-length:min_steps=2,max_steps=3", (2, 3)),
    ],
)
def test_chain_length(rule, passing):
    rule = parse_rule(rule)
    found = [n for n in range(1, 5) if rule.check(chain(*"abcd"[:n])) is None]
    assert tuple(found) == passing
    rejection = rule.check(chain(*"abcdefgh")) or rule.check(record())
    assert rejection.reason in ("too-long", "too-short")
    assert f"has {rejection.evidence['steps']} steps" in rejection.message


def test_chain_length_counts_a_record_without_steps_as_one_step():
    assert check("chain-length:max_steps=1") is None
    assert reason("chain-length:min_steps=2") == "too-short"


@pytest.mark.parametrize("given", ["chain-length", "chain-length:min_steps=3,max_steps=2"])
def test_chain_length_without_a_limit_is_refused(given):
    with pytest.raises(UsageError, match="chain-length"):
        parse_rule(given)


NAMES = [f"s{number}" for number in range(30)]
PAIRS = [(a, b) for a in NAMES for b in NAMES]


def held_out(rule):
    return {pair for pair in PAIRS if parse_rule(rule).check(chain(*pair)) is not None}


def test_combination_holds_out_a_share_of_the_pairs():
    found = held_out("combination:share=0.2,seed=3")
    assert 0.15 < len(found) / len(PAIRS) < 0.25
    assert found == held_out("combination:share=0.2,seed=3")
    assert found != held_out("combination:share=0.2,seed=4")
    assert held_out("combination:share=0.1,seed=3") < found  # a larger share only adds


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6))
def test_combination_passes_a_chain_on_one_side_only(names):
    train = parse_rule("combination:share=0.3").check(chain(*names))
    test = parse_rule("combination:share=0.3,side=test").check(chain(*names))
    assert (train is None) != (test is None)
    whole = [parse_rule("combination:share=0.3").check(chain(*pair)) for pair in pairwise(names)]
    assert (train is not None) == any(whole)
    if train:
        assert train.reason == "held-out" and " then " in train.message
        assert all(pair in list(map(list, pairwise(names))) for pair in train.evidence["pairs"])
    else:
        assert test.reason == "seen"


def test_combination_rejects_a_chain_with_unnamed_steps():
    row = chain("one", "", "three")
    for side in ("train", "test"):
        found = parse_rule(f"combination:side={side}").check(row)
        assert found.reason == "unnamed" and "steps[1]" in found.message
    assert check("combination") is None  # a single task is no combination


@pytest.mark.parametrize("share", ["0", "1", "2", "x"])
def test_combination_refuses_a_share_that_leaves_nothing(share):
    with pytest.raises(UsageError, match="share"):
        parse_rule(f"combination:share={share}")


TEXTS = st.text(st.characters(codec=None), max_size=80) | st.sampled_from(
    ("N/A", "ERROR", "[insert", "lorem ipsum", "a " * 200, QUESTION, "\ud800", "I'm sorry ")
)


NEEDED = {
    "decontaminate": f"decontaminate:against={CASES / 'filter' / 'decontaminate' / 'bench.jsonl'}",
    "language": "language:allow=en,same=true",
    "retained": f"retained:against={CASES / 'filter' / 'retained' / 'seeds.jsonl'}",
}


@cache
def loaded(name):
    return parse_rule(NEEDED[name])


@settings(deadline=None)  # the first example loads a model
@given(TEXTS, TEXTS, TEXTS, st.sampled_from(sorted(set(RULES) - {"length", "chain-length"})))
def test_rules_accept_any_text(instruction, given_input, output, name):
    rule = loaded(name) if name in NEEDED else parse_rule(name)
    rejection = rule.check(record(instruction, output, input=given_input))
    assert rejection is None or (isinstance(rejection, Rejection) and rejection.message)
