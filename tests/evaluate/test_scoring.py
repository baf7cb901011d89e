"""Scores against references: the rules of each benchmark, published results, the command."""

import gzip
import json
import random
import re
import string
from collections import Counter
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.answer_pairs import answer_pairs
from support.paths import ROOT

from seqit.evaluate.metrics import SCORERS, find_scorer, humaneval, load_scorer, scorer_for
from seqit.evaluate.metrics.base import Unscorable
from seqit.evaluate.metrics.choices import find_choice
from seqit.evaluate.metrics.final_number import find_final_number
from seqit.evaluate.metrics.numbers import find_numbers, last_number
from seqit.evaluate.metrics.vqa import accuracy, normalize
from seqit.evaluate.metrics.xquad import exact_match, f1, mlqa_tokens, squad_tokens
from seqit.evaluate.scoring import score_answer
from seqit.records.formats import complete_record, load_format

RULES = ROOT / "docs" / "scoring.md"


def item(instruction="Q?", output="", form="record", name="", **more):
    fields = {"instruction": instruction, "input": more.pop("input", ""), "output": output}
    return complete_record({**fields, **more}, form, name)


def response(record, output, sample=0, **more):
    return {
        "id": record["id"],
        "model": "m",
        "sample": sample,
        "output": output,
        "finish": "stop",
        "item": record,
        "lineage": record["lineage"],
        **more,
    }


def metrics_of(scorer, answer, record):
    return {m.metric: m.value for m in score_answer(scorer, answer, record)}


# --- GSM8K ------------------------------------------------------------------------------------

GSM8K_MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def disagreements(data):
    """Return (line, model, our result) of every published solution that we score differently."""
    differences, count = [], 0
    tests = (data / "gsm8k" / "test.jsonl").read_bytes().splitlines()
    solutions = (data / "gsm8k" / "example_model_solutions.jsonl").read_bytes().splitlines()
    convert = load_format("gsm8k").to_records
    for line, (test, solved) in enumerate(zip(tests, solutions, strict=True), 1):
        (fields,) = convert(json.loads(test))
        record, row = complete_record(fields, "gsm8k", "test.jsonl"), json.loads(solved)
        assert row["question"] == record["instruction"]
        for model in GSM8K_MODELS:
            count += 1
            ours = metrics_of("gsm8k", row[model]["solution"], record)["accuracy"]
            if bool(ours) is not row[model]["is_correct"]:
                differences.append(f"line {line}, {model}: we say {'right' if ours else 'wrong'}")
    assert count == 5276
    return differences


def test_gsm8k_agrees_with_the_publisher(data):
    section = RULES.read_text().partition("### Disagreements")[2].partition("\n#")[0]
    listed = re.findall(r"^- (line \d+, \w+: we say \w+)", section, re.M)
    assert disagreements(data) == listed
    assert f"{len(listed) or 'None'} of the 5,276" in section


@pytest.mark.parametrize(
    "answer, number",
    [
        ("It is 18.", 18),
        ("#### 18\nTo check: 9 + 9 is 18, and not 20", 18),
        ("#### 1. Eggs\nThere are 3.\n#### 2. Money\nThat makes $42 a day", 42),
        ("#### Final answer\n7", 7),
        ("#### $1,200.50 dollars\nor so, says 1 of 2", Fraction(2401, 2)),
        (r"So $\boxed{18{,}000}$, as step 3 says", 18000),
        (r"\boxed{\frac{3}{4}} of 4", Fraction(3, 4)),
        (r"#### 5" "\n" r"no: \boxed{6}", 6),
        ("", None),
        ("no idea", None),
        (r"\boxed{x}", None),
    ],
)
def test_find_final_number(answer, number):
    assert find_final_number(answer, "en") == number


# --- numbers ----------------------------------------------------------------------------------

READ = [
    ("en", "1,234,567.89", Fraction(123456789, 100)),
    ("en", "$18.00", 18),
    ("en", "3,5", 5),
    ("en", "16-3", 3),
    ("en", "16 - 3", 3),
    ("en", "- 5 apples", 5),
    ("en", "= - 5", -5),
    ("en", "-$5", -5),
    ("en", "$-5", -5),
    ("en", "\u22125", -5),
    ("en", "minus 5", -5),
    ("en", "(-3.5)", Fraction(-7, 2)),
    ("en", "**-18**", -18),
    ("en", "5\u20136", 6),
    ("en", ".5", Fraction(1, 2)),
    ("en", "3/4", Fraction(3, 4)),
    ("en", "2 1/2", Fraction(5, 2)),
    ("en", "2½", Fraction(5, 2)),
    ("en", "½", Fraction(1, 2)),
    ("en", r"\frac{3}{4}", Fraction(3, 4)),
    ("en", "20 m^2", 20),
    ("en", "20 km² of A4", 20),
    ("en", "12 H2O", 12),
    ("en", "150%", 150),
    ("en", "1.5 million dollars", 1_500_000),
    ("en", "1, 2, 3", 3),
    ("de", "80.000 US-Dollar", 80_000),
    ("de", "80,000", 80_000),
    ("de", "1.234.567,89", Fraction(123456789, 100)),
    ("de", "3,5", Fraction(7, 2)),
    ("de", "0,125", Fraction(1, 8)),
    ("de", "1'000 Fr.", 1000),
    ("de", "2 Millionen", 2_000_000),
    ("es", "$80 000", 80_000),
    ("es", "12,50 dólares", Fraction(25, 2)),
    ("fr", "12\u202f500,50 €", Fraction(25001, 2)),
    ("fr", "moins 5", -5),
    ("fr", "1,5 million", 1_500_000),
    ("ru", "70\u00a0000 руб.", 70_000),
    ("ru", "3,5 тыс.", 3500),
    ("sw", "Sh18,000", 18_000),
    ("zh", "答案是 36 元。", 36),
    ("zh", "7万元", 70_000),
    ("zh", "负5", -5),
    ("ja", "３，０００円です", 3000),
    ("ja", "マイナス18", -18),
    ("th", "๑๒,๓๔๕ บาท", 12_345),
    ("bn", "১,০০,০০০ টাকা", 100_000),
    ("bn", "−১২.৫", Fraction(-25, 2)),
    ("te", "౧౮ రూపాయలు", 18),  # codespell:ignore
    ("ar", "١٬٢٣٤٫٥", Fraction(2469, 2)),
    ("ar", "١٨", 18),
    ("", "1,000", 1000),
    ("", "no number", None),
]


@pytest.mark.parametrize("language, text, value", READ)
def test_numbers_of_every_language(language, text, value):
    assert last_number(text, language) == value


COMMA = ("en", "zh", "ja", "th", "bn", "te", "sw")  # codespell:ignore te
GROUPED = dict.fromkeys(COMMA, ",") | {"de": ".", "es": ".", "fr": "\u202f", "ru": "\u00a0"}
ZEROS = {"bn": 0x9E6, "te": 0xC66, "th": 0xE50}  # codespell:ignore
DECIMAL = dict.fromkeys(("de", "es", "fr", "ru"), ",")


@pytest.mark.parametrize("language", GROUPED)
@given(value=st.integers(-(10**12), 10**12), cents=st.integers(0, 99), own=st.booleans())
def test_a_number_in_the_notation_of_a_language_is_parsed(language, value, cents, own):
    written = f"{value:,}".replace(",", GROUPED[language])
    if cents:
        written += f"{DECIMAL.get(language, '.')}{cents:02}"
    if own and language in ZEROS:
        zero = ZEROS[language]
        written = written.translate({48 + digit: zero + digit for digit in range(10)})
    expected = value + Fraction(cents, 100) * (-1 if written.startswith("-") else 1)
    assert last_number(f"x: {written}.", language) == expected


@example("2^.5 and x^٫5")
@given(st.text(alphabet="0123456789.,-/ $'½९१٣%()=#\u0001\u202fkm万abc\\{}^", max_size=40))
def test_parsing_numbers_never_fails(text):
    for language in ("en", "de", "zh", ""):
        for number in find_numbers(text, language):
            assert 0 <= number.start < number.end


def test_mgsm_takes_the_language_from_the_file(data):
    languages = [path.stem.removeprefix("mgsm_") for path in (data / "mgsm").glob("*.tsv")]
    assert len(languages) == 5
    right = 0
    for code in languages:
        text = (data / "mgsm" / f"mgsm_{code}.tsv").read_text()
        for line in text.splitlines():
            (fields,) = load_format("mgsm").to_records(line)
            record = complete_record(fields, "mgsm", f"mgsm_{code}.tsv")
            value = int(record["output"].replace(",", ""))
            answer = f"1 2 3: {value:,}".replace(",", GROUPED[code])
            right += metrics_of("mgsm", answer, record)["accuracy"]
            assert metrics_of("mgsm", f"{-value - 1}", record)["accuracy"] == 0
            assert metrics_of("mgsm", f"-{value}", record)["accuracy"] == (value == 0)
    assert right == 1250


# --- SQuAD ------------------------------------------------------------------------------------


def official_squad(prediction, reference):
    """SQuAD v1.1's exact match and F1, reimplemented from its description."""

    def normal(text):
        kept = "".join(char for char in text.lower() if char not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())

    predicted, expected = normal(prediction).split(), normal(reference).split()
    common = sum((Counter(predicted) & Counter(expected)).values())
    if not common:
        return float(normal(prediction) == normal(reference)), 0.0
    precision, recall = common / len(predicted), common / len(expected)
    exact = float(normal(prediction) == normal(reference))
    return exact, (2 * precision * recall) / (precision + recall)


def test_squad_equals_the_official_rules_on_generated_pairs():
    checked = 0
    for prediction, reference in answer_pairs(6, 12_000):
        if prediction.strip():  # a blank prediction is always wrong for us
            checked += 1
            ours = exact_match(prediction, reference), f1(prediction, reference)
            assert ours == official_squad(prediction, reference)
    assert checked > 10_000


def test_mlqa_counts_chinese_by_character():
    assert mlqa_tokens("《红楼梦》是 Cao Xueqin 写的", "zh") == [
        *"红楼梦是",
        "cao",
        "xueqin",
        *"写的",
    ]
    assert mlqa_tokens("La Casa, de los libros", "es") == ["casa", "de", "libros"]
    assert mlqa_tokens("Der Hund", "de") == ["hund"]
    assert squad_tokens("Der Hund") == ["der", "hund"]
    scores = metrics_of("xquad", "红楼", item(output="红楼梦", form="xquad", name="xquad.zh.json"))
    assert scores == {"em": 0, "f1": 0, "em_mlqa": 0, "f1_mlqa": pytest.approx(0.8)}


def test_the_best_of_several_answers_counts():
    answers = [{"text": "308", "answer_start": 1}, {"text": "Super Bowl 50"}]
    record = item(output="308", form="xquad", metadata={"answers": answers})
    assert metrics_of("xquad", "super bowl 50!", record) == {"em": 1, "f1": 1}


def test_translate_then_predict_needs_its_label():
    steps = [{"instruction": "Translate."}, {"instruction": "Answer."}]
    lineage = {"root": "r", "iteration": 1, "operation": "translate"}
    steps[-1]["output"] = "308"
    record = item(output="Translation: x\n\nAnswer: 308", steps=steps, lineage=lineage)
    em = lambda answer: metrics_of("xquad", answer, record)["em"]  # noqa: E731
    assert em("Translation: They allowed 308 points.\n\nAnswer: 308") == 1
    assert em("**Translation:** They.\n\n**Answer:** 308") == 1
    assert em("Translation: x\n\nAnswer: 307\n\nAnswer: 308") == 1
    assert em("308") == em("Translation: 308") == em("The answer: 308") == em("Answer:") == 0
    reasons = {m.reason for m in score_answer("xquad", "Translation: 308", record)}
    assert reasons == {"no-labelled-answer"}
    assert metrics_of("mgsm", "Translation: 308", record) == {"accuracy": 0}
    assert metrics_of("mgsm", "Translation: x\n\nAnswer: 308 points", record) == {"accuracy": 1}


def test_a_chain_is_compared_in_the_language_of_its_answer(data, seqit):
    files = [data / "xquad" / f"xquad.{code}.json" for code in ("de", "en")]
    rows = seqit("import", "--format", "xquad", *files).out.splitlines()[:40]
    chains = seqit("augment", "--method", "translate", stdin=b"\n".join(rows)).rows
    assert len(chains) == 40
    for chain in chains:
        assert chain["metadata"]["translation"]["answer"] == "en"
        answers = (chain["output"], f"Translation: {chain['output']}", chain["steps"][-1]["output"])
        assert [metrics_of("xquad", answer, chain) for answer in answers] == [
            {"em": 1, "f1": 1},
            {"em": 1, "f1": 1},
            {"em": 0, "f1": 0},
        ]


# --- VQA and GQA ------------------------------------------------------------------------------


CONTRACTED = ("don't", "hadn't", "doesn't")


def official_vqa(prediction, people):
    """VQA's accuracy, reimplemented from the steps of the evaluation tool."""
    marks = [";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-"]
    marks += [">", "<", "@", "`", ",", "?", "!"]
    written = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    digits = {word: str(value) for value, word in enumerate(written)}
    digits |= {"ten": "10", "none": "0"}
    contracted = {word.replace("'", ""): word for word in CONTRACTED}

    def points(text):
        out = text
        for mark in marks:
            if mark + " " in text or " " + mark in text or re.search(r"(\d)(\,)(\d)", text):
                out = out.replace(mark, "")
            else:
                out = out.replace(mark, " ")
        return re.sub(r"(?!<=\d)(\.)(?!\d)", "", out, count=32)

    def words(text):
        kept = [digits.get(word, word) for word in text.lower().split()]
        kept = [word for word in kept if word not in ("a", "an", "the")]
        return " ".join(contracted.get(word, word) for word in kept)

    prediction = prediction.replace("\n", " ").replace("\t", " ").strip()
    people = [each.replace("\n", " ").replace("\t", " ").strip() for each in people]
    if len(set(people)) > 1:
        prediction = words(points(prediction))
        people = [words(points(each)) for each in people]
    accuracies = []
    for place in range(len(people)):
        others = people[:place] + people[place + 1 :]
        accuracies.append(min(1.0, sum(each == prediction for each in others) / 3))
    return sum(accuracies) / len(accuracies)


VQA_WORDS = (
    *("yes", "Yes", "no", "two", "2", "the dog", "a dog", "dog.", "none", "0", *CONTRACTED),
    *(word.replace("'", "") for word in CONTRACTED),
    *("1,000", "1.5", "red/blue", "red - blue", "red-blue", "u.s.", "couldntve", "hot dog!"),
    *("(left)", "left", "ten", "10", "o'clock", "t-shirt", "t shirt", "one\ntwo"),
)


def test_vqa_equals_the_official_formula_on_generated_answers():
    rng = random.Random(6)
    values = Counter()
    for _ in range(12_000):
        few = rng.sample(VQA_WORDS, rng.randint(1, 4))
        people = rng.choices(few, k=10)
        prediction = rng.choice((*few, rng.choice(VQA_WORDS)))
        value = accuracy(prediction, people)
        assert value == pytest.approx(official_vqa(prediction, people), abs=1e-12)
        values[round(value, 3)] += 1
    assert {0.0, 0.3, 0.6, 0.9, 1.0} == set(values)


@pytest.mark.parametrize(
    "text, normal",
    [
        ("The two Dogs.", "2 dogs"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),
        ("oclock", "o'clock"),  # codespell:ignore
        ("twas", "'twas"),
        ("hell well id", "hell well id"),
        ("somebody'd", "somebodyd"),
        ("ow's'at", "'ow's'at"),
        ("yall'd've", "y'all'd've"),
        ("1,000 men", "1000 men"),
        ("3.5", "3.5"),
        ("red,blue", "red blue"),
    ],
)
def test_the_normalization_of_vqa(text, normal):
    assert normalize(text) == normal


def test_unanimous_answers_are_compared_without_normalization():
    assert accuracy("yes", ["yes"] * 10) == 1
    assert accuracy("Yes.", ["yes"] * 10) == 0
    assert accuracy("Yes.", ["yes"] * 9 + ["no"]) == 1


def test_vqa_and_gqa_of_records():
    people = [{"answer": "red"}] * 2 + [{"answer": "blue"}] * 8
    record = item(output="blue", form="vqa", metadata={"answers": people})
    assert scorer_for(response(record, "")) == "vqa"
    assert metrics_of("vqa", "Red", record) == {"accuracy": pytest.approx(0.6)}
    with pytest.raises(Unscorable, match="4 people"):
        load_scorer("vqa").score("red", item(output="red", metadata={"answers": ["red", "red"]}))
    single = item(output="blue", form="vqa")
    assert scorer_for(response(single, "")) == "gqa"
    assert metrics_of("gqa", "The Blue.", single) == {"accuracy": 1}
    assert metrics_of("gqa", "blue and red", single) == {"accuracy": 0}


# --- choices ----------------------------------------------------------------------------------

CHOICES = {"A": "a fish", "B": "the sea", "C": "Salt water", "D": "both A and B"}


@pytest.mark.parametrize(
    "answer, label",
    [
        ("B", "B"),
        ("(B)", "B"),
        ("b", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("**B.** the sea", "B"),
        ("B) the sea", "B"),
        ("B\nBecause it is wet.", "B"),
        ("(C) Salt water, not (B)", "C"),
        ("The answer is (C).", "C"),
        ("The answer is A.", "A"),
        ("The correct answer is **C**", "C"),
        ("Answer: D", "D"),
        ("First I thought the answer is (A), but the answer is (B).", "B"),
        (r"So \boxed{C}", "C"),
        (r"\boxed{\text{D}}", "D"),
        ("It must be (B), as fish swim there.", "B"),
        ("salt water", "C"),
        ("Salt water.", "C"),
        ("A fish lives there, so water it is", None),
        ("A man would say so", None),
        ("Either (A) or (B)", None),
        ("The answer is A or B", None),
        ("E", None),
        ("The answer is a fish", None),
        ("", None),
    ],
)
def test_the_letter_that_an_answer_chooses(answer, label):
    assert find_choice(answer, CHOICES) == label


def test_choices_of_records():
    rows = [
        {"question": "Q?", "choices": ["x", "y"], "answer": 1},
        {"question": "Q?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"},
    ]
    for row, right in zip(rows, ("B", "2"), strict=True):
        (fields,) = load_format("multiple-choice").to_records(row)
        record = complete_record(fields, "multiple-choice", "")
        assert scorer_for(response(record, "")) == "choices"
        assert metrics_of("choices", f"({right})", record) == {"accuracy": 1}
        assert metrics_of("choices", "y", record) == {"accuracy": 1}
        assert metrics_of("choices", "x", record) == {"accuracy": 0}


# --- checks -----------------------------------------------------------------------------------


def test_checks_of_the_whole_answer():
    checks = [
        {"kind": "at_least", "unit": "words", "value": 3},
        {"kind": "exactly", "unit": "sentences", "value": 1},
    ]
    steps = [{"instruction": "x", "check": check} for check in checks]
    record = item(steps=steps)
    scores = load_scorer("checks").score("One two three. Four.", record)
    assert [(m.metric, m.value, m.position, m.chain) for m in scores] == [
        ("step", 1, 1, 2),
        ("step", 0, 2, 2),
        ("following", 0, 0, 0),
    ]
    assert load_scorer("checks").score("One two three.", record)[-1].value == 1
    chained = item(steps=[{"instruction": "x", "check": {"kind": "sum", "of": "previous"}}])
    with pytest.raises(Unscorable, match="judge builtin"):
        load_scorer("checks").score("1", chained)


# --- HumanEval --------------------------------------------------------------------------------

PROMPT = 'from typing import List\n\n\ndef f(x: List[int]) -> int:\n    """ Add. """\n'
BODY = "    return sum(x)\n"
HEAD = "from typing import List\n\n\n"


@pytest.mark.parametrize(
    "answer, program",
    [
        (BODY, PROMPT + BODY),
        ("\treturn sum(x)", PROMPT + "\treturn sum(x)"),
        (f"{BODY}\nThis adds the numbers.\n", f"{PROMPT}{BODY}\n"),
        (f"{BODY}\nprint(f([1]))\n", f"{PROMPT}{BODY}\n"),
        (f"{BODY}\ndef g():\n    pass\n", f"{PROMPT}{BODY}\ndef g():\n    pass\n"),
        (f"```python\n{PROMPT}{BODY}```", f"{HEAD}\n{PROMPT}{BODY}"),
        (f"Here it is:\n```python\ndef f(x):\n{BODY}```\nIt adds.", f"{HEAD}\ndef f(x):\n{BODY}"),
        (f"```\n{BODY}```", PROMPT + BODY),
        ("```python\nreturn sum(x)\n```", f"{PROMPT}{BODY}"),
        (f"```bash\nls\n```\n```py\ndef f(x):\n{BODY}```", f"{HEAD}\ndef f(x):\n{BODY}"),
        (f"```python\ndef f(x):\n{BODY}", f"{HEAD}\ndef f(x):\n{BODY}"),
        (f"Sure.\n\ndef f(x):\n{BODY}\nIt adds.", f"{HEAD}\ndef f(x):\n{BODY}\n"),
        ("def f(x):\n    return (", ""),
        ("You can use the function sum.", ""),
        ("```json\n{}\n```\nno code", ""),
        ("", ""),
    ],
)
def test_the_program_that_an_answer_makes(answer, program):
    assert humaneval.extract_program(answer, PROMPT, "f") == program


@given(st.text(alphabet="def f(x):\n    return `~#'\"\\([{ab=1@", max_size=80))
def test_extracting_code_never_fails(answer):
    assert isinstance(humaneval.extract_program(answer, PROMPT, "f"), str)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_pass_at_k_is_the_share_of_subsets_with_a_passing_sample(count):
    for passed in range(count + 1):
        for k in range(1, count + 1):
            subsets = list(combinations(range(count), k))
            share = sum(min(subset) < passed for subset in subsets) / len(subsets)
            assert humaneval.pass_at_k(count, passed, k) == pytest.approx(share)


def test_pass_at_k_of_many_samples():
    none_passes = (100 * 99 * 98) / (200 * 199 * 198)
    assert humaneval.pass_at_k(200, 3, 100) == pytest.approx(1 - none_passes, abs=1e-12)
    assert humaneval.pass_at_k(200, 200, 100) == 1
    assert humaneval.pass_at_k(200, 0, 100) == 0


# --- all of them ------------------------------------------------------------------------------

FULL = {
    "gsm8k": item(output="18"),
    "mgsm": item(output="18"),
    "xquad": item(output="a"),
    "choices": item(output="(A)", input="(A) x\n(B) y"),
    "vqa": item(output="a", metadata={"answers": ["a", "", "", "", ""]}),
    "gqa": item(output="the"),
    "checks": item(
        steps=[{"instruction": "x", "check": {"kind": "at_least", "unit": "words", "value": 0}}]
    ),
}


@pytest.mark.parametrize("name", [name for name in SCORERS if name != "humaneval"])
def test_an_empty_answer_is_wrong(name):
    assert {m.value for m in load_scorer(name).score("", FULL[name])} == {0}
    assert all(m.reason for m in load_scorer(name).score("", FULL[name]))


@pytest.mark.parametrize("name", [name for name in SCORERS if name != "humaneval"])
def test_without_a_reference_there_is_no_score(name):
    with pytest.raises(Unscorable) as caught:
        load_scorer(name).score("42", item())
    assert caught.value.reason and caught.value.field


def test_benchmarks_are_found_by_their_names():
    names = {"mgsm_de": "mgsm", "MMLU": "choices", "arc_challenge": "choices"}
    names |= {"commonsense_qa": "choices", "xquad_zh": "xquad", "mmlu_history": "choices"}
    names |= {"gsm8k": "gsm8k", "ifeval": "checks", "vqav2": "vqa"}
    assert {name: find_scorer(name) for name in names} == names
    assert find_scorer("alpacaeval") is find_scorer("") is None


def test_an_item_that_no_scorer_fits():
    with pytest.raises(Unscorable, match="--benchmark"):
        scorer_for(response(item(), ""))


# --- the command ------------------------------------------------------------------------------


def lines(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def coded():
    row = {
        "task_id": "t",
        "prompt": "def one():\n",
        "canonical_solution": "    return 1",
        "test": "def check(f):\n    assert f() == 1",
        "entry_point": "one",
    }
    (fields,) = load_format("humaneval").to_records(row)
    return complete_record(fields, "humaneval", "")


def test_code_is_not_run_by_default(coded, seqit, tmp_path):
    rejects = tmp_path / "rejects"
    ran = seqit("score", "--rejects", rejects, stdin=lines([response(coded, "    return 1")]))
    assert (ran.code, ran.out) == (0, b"")
    reject = json.loads(rejects.read_bytes())
    assert reject["reason"] == "code-execution"
    assert "--allow-code-execution" in reject["message"]


def test_pass_at_k_comes_after_the_samples(coded, seqit):
    outputs = ["    return 1", "    return 2", "```\nreturn 1\n```", ""]
    rows = [response(coded, text, sample) for sample, text in enumerate(outputs)]
    options = ("score", "--allow-code-execution", "--pass-at", "1,2,10")
    ran = seqit(*options, stdin=lines([*rows, rows[0]]))
    if "not run here" in ran.err:
        pytest.skip(ran.err)
    assert ran.code == 0, ran.err
    assert "read 5, added 3, written 7, rejected 1" in ran.err
    values = [(row["metric"], row["sample"], row["value"]) for row in ran.rows]
    assert values[:4] == [("pass", 0, 1), ("pass", 1, 0), ("pass", 2, 1), ("pass", 3, 0)]
    assert values[4:6] == [("pass@1", 0, 0.5), ("pass@2", 0, pytest.approx(5 / 6))]
    assert values[6] == ("pass@10", 0, None)
    assert ran.rows[6]["status"] == "failed" and "needs 10 samples" in ran.rows[6]["reason"]


def test_all_of_humaneval_through_the_command(data, seqit):
    text = gzip.decompress((data / "humaneval" / "HumanEval.jsonl.gz").read_bytes())
    rows = []
    for line in text.splitlines()[:4]:
        (fields,) = load_format("humaneval").to_records(json.loads(line))
        record = complete_record(fields, "humaneval", "HumanEval.jsonl")
        rows.append(response(record, record["output"]))
    ran = seqit("score", "--allow-code-execution", "--workers", 3, stdin=lines(rows))
    if "not run here" in ran.err:
        pytest.skip(ran.err)
    assert [row["id"] for row in ran.rows] == [row["id"] for row in rows]
    assert {row["value"] for row in ran.rows} == {1.0}
