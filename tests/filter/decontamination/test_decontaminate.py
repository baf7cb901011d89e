"""The rule decontaminate: items of a benchmark are found in rows, without false positives."""

import gzip
import json
import subprocess
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT

from seqit.errors import SeqitError, UsageError
from seqit.filter import parse_rule
from seqit.filter.decontamination.words import join_words, words

QUESTION = (
    "A robe takes 2 bolts of blue fiber and half that much white fiber. "
    "How many bolts in total does it take to make the robe?"
)
TEN = "Which of these rivers flows past the castle of Heidelberg?"
SHORT = "Who painted the blue horses?"


@pytest.fixture
def against(tmp_path):
    """Write items into a benchmark file and return the rule that reads it."""

    def make(*items, options="", name="bench.jsonl"):
        file = tmp_path / name
        rows = [{"question": item} if isinstance(item, str) else item for item in items]
        file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return parse_rule(f"decontaminate:against={file}{options}")

    return make


def record(instruction="Name a tree.", given_input="", output="An oak."):
    fields = {"id": "a", "instruction": instruction, "input": given_input, "output": output}
    return fields | {"lineage": {"root": "a", "iteration": 0, "operation": "seed"}}


def reason(rule, *args, **more):
    rejection = rule.check(record(*args, **more))
    return rejection and rejection.reason


# --- words ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It’s 1,000 WELL-known\n_names_.", ["it", "s", "1", "000", "well", "known", "names"]),
        ("It's 1,000 WELL-known\n_names_.", ["it", "s", "1", "000", "well", "known", "names"]),
        ("Straße ﬁne Ｆull", ["strasse", "fine", "full"]),
        ("有3个苹果。", ["有", "3", "个", "苹", "果"]),
        ("りんごは?", ["り", "ん", "ご", "は"]),
        ("ไปที่", ["ไ", "ป", "ที่"]),
        ("ភាសាខ្មែរ", ["ភា", "សា", "ខ្", "មែ", "រ"]),
        ("مُحَمَّدٌ ولـد", ["محمد", "ولد"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("\ud800 a\u200bb", ["ab"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@given(st.text(max_size=60))
def test_words_of_words_are_the_words(text):
    found = words(text)
    assert words(" ".join(found)) == found
    assert words(join_words(found)) == found or not join_words(found).isascii()


# --- matches ---


@pytest.mark.parametrize("field", ["instruction", "input", "output"])
@pytest.mark.parametrize(
    "text",
    [
        QUESTION,
        QUESTION.upper().replace(" ", "\n "),
        f"Think first. {QUESTION} Then say how you know.",
        "How is a robe sewn? " + " ".join(f"word{n}" for n in range(300)) + f" {QUESTION}",
    ],
)
def test_an_item_is_found_in_any_field(against, field, text):
    row = record() | {field: text}
    rejection = against("Another item, of no importance whatever here.", QUESTION).check(row)
    assert rejection.reason == "item"
    assert rejection.evidence["field"] == field
    assert rejection.evidence["ngram"] == " ".join(words(QUESTION))
    assert rejection.evidence["words"] == 26 and rejection.evidence["share"] == 1.0
    item = rejection.evidence["item"]
    assert item["line"] == 2 and item["file"].endswith("bench.jsonl")
    assert item["text"] == QUESTION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (QUESTION.replace("robe", "coat"), "ngram"),  # 13 words between them are the item's
        (QUESTION.replace("half", "nearly half").replace("total does", "all did"), "edited"),
        (QUESTION.replace("blue ", "").replace("total ", ""), "edited"),
        (" ".join(QUESTION.split()[5:18]), "ngram"),
        (" ".join(QUESTION.split()[5:17]), None),
        ("A robe takes cloth. How many bolts in total does it take?", None),
        (TEN.replace("castle", "old castle"), "edited"),
        (TEN.replace("rivers", "streams"), "edited"),
        (TEN.replace("flows ", ""), "edited"),
        (TEN.replace("Heidelberg", "Worms").replace("rivers", "roads").replace("past", "by"), None),
        ("Name the river that flows past the castle.", None),
        (SHORT, "item"),
        (f"{SHORT} And when?", "item"),
        (f"Answer in one word.\n- {SHORT}\n- When?", "item"),
        (f"{'Many words. ' * 60}\n{SHORT}", "item"),
        ("Tell me who painted the blue horses of the stable.", None),
        ("Who painted the red horses?", None),
    ],
)
def test_edits_and_parts(against, text, expected):
    assert reason(against(QUESTION, TEN, SHORT), text) == expected


def test_the_numbers_of_words_are_parameters(against):
    part = " ".join(QUESTION.split()[5:15])
    assert reason(against(QUESTION), part) is None
    assert reason(against(QUESTION, options=",ngram=10"), part) == "ngram"
    changed = TEN.replace("Heidelberg", "Mannheim").replace("rivers", "roads")
    assert reason(against(TEN), changed) == "edited"
    assert reason(against(TEN, options=",share=0.9"), changed) is None
    assert reason(against(QUESTION, options=",fields=output"), QUESTION) is None


# --- what is ignored ---


def test_phrases_of_many_items_are_ignored(against):
    template = "Answer the following question by reasoning step by step and explain it to a child:"
    items = [f"{template} {' '.join(f'{n}word{w}' for w in range(20))}?" for n in range(30)]
    rule = against(*items)
    assert reason(rule, f"{template} why is the sky blue on most days of the year?") is None
    assert reason(rule, items[7].removeprefix(template)) == "ngram"
    assert reason(rule, items[7].removeprefix(template).replace("7word11", "and so on")) == "edited"
    assert reason(rule, items[7]) == "item"


def test_items_that_differ_little_are_found_as_a_whole(against):
    rule = against(*(f"Is the number {n} a prime number or not a prime number?" for n in range(99)))
    assert reason(rule, "Is the number 17 a prime number or not a prime number?") == "item"
    assert reason(rule, "Is the number 5000 a prime number or not a prime number?") is None


def test_an_instruction_of_many_items_is_their_template(against):
    task = "Complete the following Python function so that all of its tests will pass at once."
    code = "def f{0}(x{0}): return x{0} * a{0} + b{0} - c{0} / d{0}"
    items = [{"instruction": task, "input": code.format(n), "output": ""} for n in range(20)]
    rule = against(*items)
    assert reason(rule, task, "def g(y): pass") is None
    rejection = rule.check(record(task, code.format(3)))
    assert rejection.reason == "item" and rejection.evidence["field"] == "input"


def test_a_short_instruction_that_needs_its_input_is_ignored(against):
    rule = against({"instruction": "Translate it into German.", "input": QUESTION, "output": ""})
    assert reason(rule, "Translate it into German.", "Another text.") is None
    assert reason(rule, "Sum it up.", QUESTION) == "item"


def test_answers_are_searched_only_on_request(against):
    item = {"instruction": SHORT, "input": "", "output": QUESTION}
    assert reason(against(item), output=QUESTION) is None
    assert reason(against(item, options=",item_fields=output"), output=QUESTION) == "item"


def test_a_benchmark_in_two_files_counts_once(against, tmp_path):
    items = [f"{QUESTION} Number {n} is meant, and no other number at all." for n in range(3)]
    against(*items, name="one.jsonl")
    rule = parse_rule(f"decontaminate:against={'+'.join([str(tmp_path / 'one.jsonl')] * 4)}")
    assert rule.extra_counts() == {"items": 3}
    assert reason(rule, items[1]) == "item"


# --- other scripts ---

CHINESE = (
    "小明有三个苹果，他又买了五个苹果，然后把其中的两个送给了他的妹妹，"
    "请问他现在一共还剩下几个苹果？"
)
THAI = "แม่ค้ามีมะม่วงอยู่สิบสองลูก ขายไปแล้วเจ็ดลูก และซื้อเพิ่มอีกสี่ลูก ตอนนี้แม่ค้ามีมะม่วงทั้งหมดกี่ลูก"
ARABIC = "اشترى أحمد ثلاث تفاحات من السوق ثم أعطى أخته تفاحة واحدة فكم تفاحة بقيت معه الآن"
POINTED = "اشْتَرَى أحمد ثَلَاثَ تفاحات من السُّوقِ ثم أعطى أُخْتَهُ تفاحة واحدة فكم تفاحة بقيت معه الآن"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (CHINESE, CHINESE),
        (CHINESE, f"请先想一想。{CHINESE}"),
        (CHINESE, CHINESE.replace("，", " , ")),
        (THAI, THAI),
        (THAI, f"คำถาม: {THAI.replace(' ', '')}"),
        (ARABIC, POINTED),
        (POINTED, ARABIC),
    ],
)
def test_items_in_other_scripts(against, item, text):
    assert reason(against(item), text) == "item"


@pytest.mark.parametrize(
    ("item", "text", "expected"),
    [
        (CHINESE, CHINESE.replace("苹果", "梨子", 1).replace("妹妹", "弟弟"), "edited"),
        (CHINESE, CHINESE[:14], None),  # 13 characters are a clause, not 13 words
        (CHINESE, "小红有九本书，她又借了两本书，请问她现在有几本书？", None),
        (THAI, THAI.replace("สิบสอง", "ยี่สิบ"), "ngram"),
        (THAI, "แม่ค้ามีส้มอยู่", None),
        (ARABIC, ARABIC.replace("السوق", "المتجر"), "edited"),
        (ARABIC, "كم تفاحة مع أحمد", None),
    ],
)
def test_parts_of_items_in_other_scripts(against, item, text, expected):
    assert reason(against(item), text) == expected


# --- the formats of benchmarks ---

ASKED = "Which planet of the solar system has the largest number of known moons today?"
FILES = {
    "gsm8k.jsonl": [{"question": ASKED, "answer": "So it is.\n#### 12"}],
    "mmlu.jsonl": [{"question": ASKED, "choices": ["a", "b"], "answer": 1, "subject": "x"}],
    "arc.jsonl": [
        {"question": ASKED, "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "A"}
    ],
    "csqa.jsonl": [
        {"question": {"stem": ASKED, "choices": [{"label": "A", "text": "a"}]}, "id": "q"}
    ],
    "vqa.jsonl": [{"image": "a.png", "question": ASKED, "answer": "b"}],
    "seqeval.jsonl": [{"instruction": ASKED, "iteration": 3}],
    "humaneval.jsonl": [
        {"task_id": 1, "prompt": f'def f():\n    """{ASKED}"""', "test": "", "entry_point": "f"}
    ],
    "plain.jsonl": [{"question": ASKED, "topic": "moons"}],
}


@pytest.mark.parametrize("name", FILES)
def test_benchmarks_are_read_in_their_formats(tmp_path, name):
    file = tmp_path / name
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in FILES[name]))
    assert reason(parse_rule(f"decontaminate:against={file}"), f"Tell me: {ASKED}")


def test_benchmarks_in_documents_and_lines(tmp_path):
    (tmp_path / "mgsm_en.tsv").write_text(f"{ASKED}\t12\n")
    squad = {"data": [{"paragraphs": [{"context": QUESTION, "qas": [{"question": ASKED}]}]}]}
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    questions = {"info": {}, "questions": [{"question_id": 1, "question": ASKED}]}
    (tmp_path / "vqav2.json").write_text(json.dumps(questions, indent=1))
    (tmp_path / "vqav2-line.json.gz").write_bytes(gzip.compress(orjson.dumps(questions)))
    (tmp_path / "array.json").write_text(json.dumps([{"ori": ASKED}, {"ori": 3}]))
    for name in ("mgsm_en.tsv", "squad.json", "vqav2.json", "vqav2-line.json.gz"):
        assert reason(parse_rule(f"decontaminate:against={tmp_path / name}"), ASKED) == "item"
    rule = parse_rule(f"decontaminate:against={tmp_path / 'array.json'},column=ori")
    assert reason(rule, ASKED) == "item"
    assert rule.extra_counts() == {"items": 1, "unreadable": 1}


def test_invalid_parameters_and_benchmarks(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "odd.jsonl").write_bytes(b'{"label": 1, "text": "x"}\n')
    (tmp_path / "bad.jsonl").write_bytes(b'{"question": 3, "x": 1}\n')
    for text, message in [
        ("decontaminate", "name the benchmark"),
        ("decontaminate:against=-", "and not standard input"),
        (f"decontaminate:against={tmp_path / 'bad.jsonl'},short=2", "short must be at least 4"),
        (f"decontaminate:against={tmp_path / 'bad.jsonl'},ngram=7", "at most ngram"),
    ]:
        with pytest.raises(UsageError, match=message):
            parse_rule(text)
    for name, message in [
        ("empty", "no item of a benchmark could be read"),
        ("odd.jsonl", "name the column of the text with column=NAME"),
        ("bad.jsonl", "the row has no text 'question'"),
        ("none", "no such file"),
    ]:
        with pytest.raises(SeqitError, match=message):
            parse_rule(f"decontaminate:against={tmp_path / name}")


# --- generated and real data ---


@pytest.fixture(scope="module")
def contaminated(tmp_path_factory):
    """A folder with rows of which some contain items, and a benchmark of 1,500 items."""
    folder = tmp_path_factory.mktemp("contaminated")
    script = ROOT / "bench" / "decontaminate" / "generate.py"
    subprocess.run([sys.executable, script, "4000", folder, "1500"], check=True, timeout=60)
    return folder


def test_contaminated_rows_are_found_and_no_others(contaminated, seqit, tmp_path):
    rule = f"decontaminate:against={contaminated / 'bench.jsonl'}"
    options = ("--no-defaults", "--rule", rule, contaminated / "rows.jsonl", "--manifest", "m.json")
    one = seqit("filter", *options, "--workers", 1, "--rejects", "one", cwd=tmp_path)
    manifest = (tmp_path / "m.json").read_bytes()
    two = seqit("filter", *options, "--workers", 3, "--rejects", "two", cwd=tmp_path)
    assert one == two and one.code == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "m.json").read_bytes() == manifest
    rejects = map(orjson.loads, (tmp_path / "one").read_bytes().splitlines())
    found = {reject["id"]: reject["evidence"]["item"]["line"] for reject in rejects}
    truth = [
        orjson.loads(line) for line in (contaminated / "truth.jsonl").read_bytes().splitlines()
    ]
    items = {kind: {r["id"]: r["item"] for r in truth if r["kind"] == kind} for kind in KINDS}
    assert {name: found.get(name) for name in items["verbatim"]} == items["verbatim"]
    caught = sum(found.get(name) == item for name, item in items["edited"].items())
    assert caught >= 0.95 * len(items["edited"]) > 20
    assert found.keys() <= {row["id"] for row in truth}
    counts = orjson.loads(manifest)["counts"]["rules"][rule]
    assert (counts["seen"], counts["removed"]) == (4000, len(found))
    assert 1400 < counts["items"] <= 1500


KINDS = ("verbatim", "edited")


def test_flancot_against_the_test_set_of_gsm8k(data, seqit, tmp_path):
    rows = seqit("import", data / "flancot" / "gsm8k_train.tsv").out
    rule = f"decontaminate:against={data / 'gsm8k' / 'test.jsonl'}"
    seqit("filter", "--no-defaults", "-r", rule, "--rejects", tmp_path / "r", stdin=rows)
    rejects = [orjson.loads(line) for line in (tmp_path / "r").read_bytes().splitlines()]
    # Questions of the train set that share a pattern with questions of the test set.
    shown = [(each["reason"], each["evidence"]["item"]["line"]) for each in rejects]
    assert shown == [("ngram", 633), ("ngram", 582), ("ngram", 603), ("ngram", 603)]
    assert rejects[0]["evidence"]["ngram"].startswith("bought stamps at the post office")


def test_the_seeds_of_seqeval_are_alpacaevals_items(data, seqit, tmp_path):
    rows = seqit("import", data / "alpacaeval" / "alpaca-7b" / "model_outputs.json").out
    file = data / "seqeval" / "seqEval_iteration_1.json"
    rule = f"decontaminate:against={file},column=ori_instruction,fields=instruction"
    remaining = seqit("filter", "--no-defaults", "-r", rule, stdin=rows)
    assert [row["instruction"] for row in remaining.rows] == ['Write "Test"']  # only two words
    rewritten = seqit("import", data / "seqeval" / "seqEval.json").out
    file = data / "alpacaeval" / "alpaca-7b" / "model_outputs.json"
    rule = f"decontaminate:against={file}"
    remaining = seqit("filter", "--no-defaults", "-r", rule, stdin=rewritten)
    assert len(remaining.rows) < 0.45 * 804  # rewritten items are found, if not too different


def test_answers_of_models_are_not_contaminated(data, seqit):
    rows = seqit("import", data / "alpacaeval" / "gpt4_1106_preview" / "model_outputs.json").out
    names = ("gsm8k/test.jsonl", "xquad/xquad.en.json", "humaneval/HumanEval.jsonl.gz")
    rule = f"decontaminate:against={'+'.join(str(data / name) for name in names)}"
    assert seqit("filter", "--no-defaults", "-r", rule, stdin=rows).out == rows
