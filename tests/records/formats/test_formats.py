"""Formats: every row becomes records or a RowError, and exported rows can be imported again."""

import copy
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import DATA

from seqit.errors import RowError, SeqitError, UsageError
from seqit.records import formats
from seqit.records.formats import EXPORTS, FORMATS, complete_record, guess_format, load_format
from seqit.records.identity import content_id
from seqit.records.record import RECORD_KEYS
from seqit.records.validation import schema

real_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not at ../shared/data")

IMPORTS = {
    "alpaca": [
        (
            {"instruction": "Add.", "input": "1 2", "output": "3", "text": "Below is …", "id": 7},
            {
                "instruction": "Add.",
                "input": "1 2",
                "output": "3",
                "metadata": {"text": "Below is …", "id": 7},
            },
        ),
        (
            {"instruction": "And?", "system": "Be kind.", "history": [["Hi", "Hello"]]},
            {
                "instruction": "And?",
                "input": "",
                "output": "",
                "system": "Be kind.",
                "history": [["Hi", "Hello"]],
            },
        ),
        (
            {"instruction": "Go.", "input": None, "output": "", "system": "", "history": []},
            {"instruction": "Go.", "input": "", "output": ""},
        ),
        (
            {"instruction": "<image>What?", "output": "A cat.", "images": ["cat.png"]},
            {"instruction": "What?", "input": "", "output": "A cat.", "images": ["cat.png"]},
        ),
        (  # a SeqEval item
            {"instruction": "Define it.", "iteration": 4},
            {"instruction": "Define it.", "input": "", "output": "", "metadata": {"iteration": 4}},
        ),
    ],
    "messages": [
        (
            {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello"},
                    {"role": "user", "content": "Why?", "name": None},
                    {"role": "assistant", "content": "So."},
                ],
                "source": "mine",
            },
            {
                "instruction": "Why?",
                "input": "",
                "output": "So.",
                "system": "Be kind.",
                "history": [["Hi", "Hello"]],
                "metadata": {"source": "mine"},
            },
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is "},
                            {"type": "text", "text": "this?"},
                            {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
                        ],
                    }
                ]
            },
            {
                "instruction": "What is this?",
                "input": "",
                "output": "",
                "images": ["https://a/b.png"],
            },
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?!"}]}
                ],
                "images": ["b.png"],
            },
            {"instruction": "?!", "input": "", "output": "", "images": ["b.png"]},
        ),
    ],
    "sharegpt": [
        (  # LIMA
            {"conversations": ["Hi", "Hello", "Why?", "So."], "source": "wiki"},
            {
                "instruction": "Why?",
                "input": "",
                "output": "So.",
                "history": [["Hi", "Hello"]],
                "metadata": {"source": "wiki"},
            },
        ),
        (
            {
                "conversations": [
                    {"from": "system", "value": "Be kind."},
                    {"from": "human", "value": "Hi"},
                    {"from": "gpt", "value": "Hello"},
                ]
            },
            {"instruction": "Hi", "input": "", "output": "Hello", "system": "Be kind."},
        ),
        (
            {"conversations": [{"role": "user", "content": "Hi"}], "system": "Be kind."},
            {"instruction": "Hi", "input": "", "output": "", "system": "Be kind."},
        ),
    ],
    "prompt-completion": [
        (
            {"prompt": "Two and two", "completion": " make four."},
            {"instruction": "Two and two", "input": "", "output": " make four."},
        ),
        (
            {
                "prompt": [
                    {"role": "system", "content": "S"},
                    {"role": "user", "content": "Hi"},
                ],
                "completion": [{"role": "assistant", "content": "Hello"}],
            },
            {"instruction": "Hi", "input": "", "output": "Hello", "system": "S"},
        ),
    ],
    "dolly": [
        (
            {"instruction": "Who?", "context": "Ann came.", "response": "Ann", "category": "qa"},
            {
                "instruction": "Who?",
                "input": "Ann came.",
                "output": "Ann",
                "metadata": {"category": "qa"},
            },
        )
    ],
    "seq-instruct": [
        (
            {"full_response": "#New Instruction#:\nDo X.###", "model": "m"},
            {
                "instruction": "Do X.",
                "input": "",
                "output": "",
                "metadata": {"full_response": "#New Instruction#:\nDo X.###", "model": "m"},
            },
        ),
        (  # without an end marker, but known to be finished
            {"full_response": "#New Instruction#: Do X.", "finish_reason": "stop"},
            {
                "instruction": "Do X.",
                "input": "",
                "output": "",
                "metadata": {
                    "full_response": "#New Instruction#: Do X.",
                    "finish_reason": "stop",
                },
            },
        ),
    ],
    "flancot": [
        (
            "Which?\\n(A) one\\n(B) two\t(B)\tBecause\\nso.",
            {
                "instruction": "Which?\n(A) one\n(B) two",
                "input": "",
                "output": "(B)",
                "metadata": {"rationale": "Because\nso."},
            },
        )
    ],
    "flancot-json": [
        (
            {"source": "Which?", "target": "(B)", "rationale": "So.", "task": "qasc"},
            {
                "instruction": "Which?",
                "input": "",
                "output": "(B)",
                "metadata": {"rationale": "So.", "task": "qasc"},
            },
        )
    ],
    "mgsm": [
        (
            "Wie viel?\t114,200",
            {"instruction": "Wie viel?", "input": "", "output": "114,200"},
        )
    ],
    "gsm8k": [
        (
            {"question": "How many?", "answer": "16 - 3 = <<16-3=13>>13 eggs.\n#### 13"},
            {
                "instruction": "How many?",
                "input": "",
                "output": "13",
                "metadata": {
                    "answer": "16 - 3 = <<16-3=13>>13 eggs.\n#### 13",
                    "rationale": "16 - 3 = 13 eggs.",
                },
            },
        )
    ],
    "humaneval": [
        (
            {
                "task_id": "test/0",
                "prompt": "def f():\n",
                "canonical_solution": "    return 1",
                "test": "assert f() == 1",
                "entry_point": "f",
            },
            {
                "instruction": "Complete the following Python function.",
                "input": "def f():\n",
                "output": "    return 1",
                "metadata": {"task_id": "test/0", "test": "assert f() == 1", "entry_point": "f"},
            },
        )
    ],
    "vqa": [
        (
            {
                "image": "a.png",
                "question": "What?",
                "answers": ["red", "blue", "blue", "red"],
                "captions": ["A door."],
            },
            {
                "instruction": "What?",
                "input": "",
                "output": "red",
                "images": ["a.png"],
                "metadata": {"answers": ["red", "blue", "blue", "red"], "captions": ["A door."]},
            },
        ),
        (
            {
                "image": "a.png",
                "question": "What?",
                "answers": [{"answer": "no", "answer_id": 1}],
                "question_id": 9,
            },
            {
                "instruction": "What?",
                "input": "",
                "output": "no",
                "images": ["a.png"],
                "metadata": {"answers": [{"answer": "no", "answer_id": 1}], "question_id": 9},
            },
        ),
    ],
    "multiple-choice": [
        (  # MMLU
            {"question": "Which?", "subject": "law", "choices": ["one", "two"], "answer": 1},
            {
                "instruction": "Which?",
                "input": "(A) one\n(B) two",
                "output": "(B)",
                "metadata": {"subject": "law", "choices": ["one", "two"], "answer": 1},
            },
        ),
        (  # ARC and CommonsenseQA, as Hugging Face has them; the labels may be numbers
            {
                "id": "q",
                "question": "Which?",
                "choices": {"text": ["one", "two"], "label": ["1", "2"]},
                "answerKey": "2",
            },
            {
                "instruction": "Which?",
                "input": "(1) one\n(2) two",
                "output": "(2)",
                "metadata": {
                    "id": "q",
                    "choices": {"text": ["one", "two"], "label": ["1", "2"]},
                    "answerKey": "2",
                },
            },
        ),
        (  # as they were first published; a test set without its answers
            {
                "question": {"stem": "Which?", "choices": [{"label": "A", "text": "one"}]},
                "answerKey": "",
            },
            {
                "instruction": "Which?",
                "input": "(A) one",
                "output": "",
                "metadata": {"answerKey": ""},
            },
        ),
    ],
    "xquad": [
        (
            {"question": "Who?", "context": "Ann came.", "answers": [], "id": "q1", "title": "T"},
            {
                "instruction": "Who?",
                "input": "Ann came.",
                "output": "",
                "metadata": {"answers": [], "id": "q1", "title": "T"},
            },
        )
    ],
}
CASES = [(name, row, fields) for name, cases in IMPORTS.items() for row, fields in cases]


@pytest.mark.parametrize(("name", "row", "fields"), CASES)
def test_a_row_becomes_these_fields(name, row, fields):
    before = json.dumps(row)
    assert load_format(name).to_records(row) == [fields]
    assert json.dumps(row) == before
    record = complete_record(load_format(name).to_records(row)[0], name, "rows.json")
    assert schema("record").is_valid(record), schema("record").problems(record)
    assert list(record) == [key for key in RECORD_KEYS if key in record]
    assert record["source"] == {"format": name, "name": "rows.json"}
    assert record["lineage"] == {"root": record["id"], "iteration": 0, "operation": "seed"}
    assert record["id"] == content_id(record)


USER = {"role": "user", "content": "Hi"}
URL = {"type": "image_url", "image_url": {"url": "a.png"}}
TEXT = {"type": "text", "text": "Hi"}
REFUSED = [
    ("seq-instruct", {"full_response": "Do X."}, "full_response"),
    ("seq-instruct", {"full_response": None}, "full_response"),
    ("seq-instruct", {"seq_instruction": "Do X."}, "full_response"),
    ("seq-instruct", {"full_response": "#New Instruction#: X###", "seq_mode": ["A"]}, "seq_mode"),
    ("seq-instruct", {"full_response": "#New Instruction#: X###", "ori_instruction": "X"},
     "full_response"),
    ("seq-instruct", {"full_response": "#New Instruction#: X###", "ori_instruction": 1},
     "ori_instruction"),
    ("seq-instruct", {"full_response": "#New Instruction#: X###", "seq_instruction": "Y",
                      "difference": 1}, "difference"),
    ("alpaca", {"instruction": "", "iteration": 2}, "instruction"),
    ("alpaca", {"instruction": " \n"}, "instruction"),
    ("alpaca", {"instruction": None}, "instruction"),
    ("alpaca", {"output": "x"}, "instruction"),
    ("alpaca", {"instruction": "x", "output": 3}, "output"),
    ("alpaca", {"instruction": "x", "input": ["y"]}, "input"),
    ("alpaca", {"instruction": "x", "history": [["a"]]}, "history[0]"),
    ("alpaca", {"instruction": "x", "history": [["a", "b"], ["c", None]]}, "history[1]"),
    ("alpaca", {"instruction": "x", "images": [""]}, "images[0]"),
    ("alpaca", ["x"], ""),
    ("messages", {"messages": []}, "messages"),
    ("messages", {"text": "x"}, "messages"),
    ("messages", {"messages": [{"role": "assistant", "content": "x"}]}, "messages[0]"),
    ("messages", {"messages": [USER, USER]}, "messages[1]"),
    ("messages", {"messages": [USER, {"role": "tool", "content": "3"}]}, "messages[1].role"),
    ("messages", {"messages": [{**USER, "name": "Ann"}]}, "messages[0].name"),
    ("messages", {"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ("messages", {"messages": [USER | {"content": [TEXT, URL, TEXT]}]}, "messages[0].content[2]"),
    (
        "messages",
        {"messages": [USER | {"content": [{"type": "input_audio"}]}]},
        "messages[0].content[0]",
    ),
    (
        "messages",
        {
            "messages": [
                USER,
                {"role": "assistant", "content": "x"},
                USER | {"content": [TEXT, URL]},
            ]
        },
        "messages[2].content",
    ),
    ("messages", {"messages": [USER | {"content": [URL, TEXT]}], "images": ["b"]}, "images"),
    (
        "messages",
        {"messages": [USER | {"content": [{"type": "image"}, TEXT]}], "images": ["a", "b"]},
        "images",
    ),
    ("sharegpt", {"conversations": ["Hi", 3]}, "conversations[0]"),
    (
        "sharegpt",
        {"conversations": [{"from": "function_call", "value": "f"}]},
        "conversations[0].from",
    ),
    (
        "sharegpt",
        {
            "conversations": [{"from": "system", "value": "a"}, {"from": "human", "value": "b"}],
            "system": "c",
        },
        "system",
    ),
    ("prompt-completion", {"prompt": "", "completion": "x"}, "prompt"),
    ("prompt-completion", {"prompt": [USER], "completion": "x"}, "completion"),
    ("self-instruct", {"instruction": "x", "instances": []}, "instances"),
    (
        "self-instruct",
        {"instruction": "x", "instances": [{"input": "", "output": "y"}, {"output": 3}]},
        "instances[1].output",
    ),
    (
        "self-instruct",
        {"instruction": "x", "name": "n", "instances": [{"name": "m"}]},
        "instances[0].name",
    ),
    ("flancot", "one\ttwo", ""),
    ("flancot", "one\ttwo\tthree\tfour", ""),
    ("flancot", "\ttwo\tthree", "question"),
    ("flancot-json", {"question": "x", "answer": "y", "rationale": 3}, "rationale"),
    ("mgsm", "How many?", ""),
    ("gsm8k", {"question": "x", "answer": "y"}, "answer"),
    ("gsm8k", {"question": "x", "answer": "y #### 1", "rationale": "z"}, "rationale"),
    ("vqa", {"image": {"bytes": "…"}, "question": "x"}, "image"),
    ("vqa", {"image": "a.png", "question": "x", "answers": [3]}, "answers[0]"),
    ("multiple-choice", {"question": "x", "choices": []}, "choices"),
    ("multiple-choice", {"question": "x", "choices": ["y", 3]}, "choices"),
    ("multiple-choice", {"question": "x", "choices": {"text": ["y"], "label": []}}, "choices"),
    ("multiple-choice", {"question": {"choices": [{"text": "y"}]}}, "stem"),
    ("multiple-choice", {"question": "x", "choices": ["y"], "answer": 1}, "answer"),
    ("multiple-choice", {"question": "x", "choices": ["y"], "answerKey": "B"}, "answerKey"),
    ("xquad", {"question": "x", "answers": []}, "context"),
    ("xquad", {"question": "x", "context": "y", "answers": ["z"]}, "answers[0]"),
    ("record", {"id": "a", "instruction": "x", "lineage": {"root": "a"}}, "lineage"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "field"), REFUSED)
def test_a_row_that_cannot_be_a_record_is_refused_at_its_field(name, row, field):
    with pytest.raises(RowError) as caught:
        load_format(name).to_records(row)
    assert caught.value.field == field


def test_each_instance_of_a_seed_task_becomes_a_record():
    instances = [{"input": "a", "output": "A"}, {"input": "b", "output": "B", "note": 1}]
    task = {"id": "t", "instruction": "Raise.", "instances": instances}
    assert load_format("self-instruct").to_records(task) == [
        {"instruction": "Raise.", "input": "a", "output": "A", "metadata": {"id": "t"}},
        {"instruction": "Raise.", "input": "b", "output": "B", "metadata": {"id": "t", "note": 1}},
    ]


def test_a_broken_item_of_a_document_does_not_affect_the_others():
    good = {"id": "q", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]}
    paragraph = {"context": "Ann came.", "qas": [good, "?", {"id": "r", "title": "mine"}]}
    document = {
        "version": "1.1",
        "data": [{"title": "T", "paragraphs": [{"context": "x"}, paragraph]}, 7],
    }
    xquad = load_format("xquad")
    records, broken = [], []
    for item in xquad.items(document):
        try:
            records += xquad.to_records(item)
        except RowError:
            broken.append(item)
    metadata = {"version": "1.1", "title": "T", "id": "q", "answers": good["answers"]}
    assert records == [
        {"instruction": "Who?", "input": "Ann came.", "output": "Ann", "metadata": metadata}
    ]
    assert broken == [
        {"version": "1.1", "title": "T", "context": "x"},
        "?",
        {"id": "r", "title": "mine"},
        7,
    ]
    assert list(xquad.items([1])) == [[1]]


def test_records_are_imported_unchanged():
    fields = {"instruction": "x", "input": "", "output": "y", "metadata": {"id": 3}}
    fields["steps"] = [{"instruction": "x"}]
    record = complete_record(fields, "alpaca", "a.json")
    assert (
        complete_record(load_format("record").to_records(record)[0], "record", "b.jsonl") == record
    )


def import_recorded(**columns):
    row = {"full_response": "#New Instruction#:\nDo X. Do Y.###", "ori_instruction": "Do X."}
    [fields] = load_format("seq-instruct").to_records(row | columns)
    return fields


def test_a_recorded_completion_has_its_operation_and_seed_as_lineage():
    seed = content_id({"instruction": "Do X.", "input": "", "output": ""})
    lineage = {"root": seed, "parent": seed, "iteration": 1, "method": "seq-instruct"}
    for mode, operation in (
        ("prefix", "prefix"),
        ("suffix", "suffix"),
        ("interpolate", "decompose"),
    ):
        assert import_recorded(seq_mode=mode)["lineage"] == lineage | {"operation": operation}
    assert "lineage" not in import_recorded()  # its operation is unknown
    unknown = import_recorded(seq_mode="prefix", ori_instruction=None)
    assert unknown["lineage"]["root"] == content_id(unknown)
    assert "parent" not in unknown["lineage"]


@pytest.mark.parametrize(
    ("published", "kind"),
    [("Do X. Do Y.", None), ("“Do X.  Do Y.”", "form"), ("Do X.", "content"), ("", "content")],
)
def test_a_different_published_instruction_is_kept_with_the_kind_of_difference(published, kind):
    metadata = import_recorded(seq_mode="suffix", seq_instruction=published)["metadata"]
    assert metadata.get("difference") == kind and "seq_mode" not in metadata
    assert metadata.get("seq_instruction") == (published if kind else None)


# --- guessing ---


@pytest.mark.parametrize(("name", "row"), [(n, r) for n, r, _ in CASES if n != "xquad"])
def test_the_format_is_guessed_from_a_row(name, row):
    assert guess_format(row, "rows") == name


def test_a_seed_with_steps_is_a_record_and_keeps_them():
    steps = [{"instruction": "x", "output": "y", "check": {"kind": "text", "value": "y"}}]
    row = {"instruction": "x", "output": "y", "steps": steps}
    assert guess_format(row, "x") == "record"
    assert load_format("record").to_records(row)[0]["steps"] == steps
    for other in ([], ["a", "b"], "first this", [{"text": "x"}]):  # another dataset's column
        assert guess_format({**row, "steps": other}, "x") == "alpaca"


def test_more_formats_are_guessed():
    document = {"data": [{"paragraphs": []}]}
    assert guess_format(document, "x.json") == "xquad"
    assert guess_format({"instruction": "x", "instances": []}, "x") == "self-instruct"
    assert (
        guess_format(complete_record({"instruction": "x", "input": "", "output": ""}, "f", ""), "x")
        == "record"
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"foo": 1, "bar": 2}, "'foo', 'bar'"),
        ("a line", "a line"),
        ([1], "a list"),
        ({}, "an object"),
        ({"messages": [], "conversations": []}, "messages and sharegpt"),
    ],
)
def test_a_row_that_fits_no_format_or_two_is_an_error(row, words):
    with pytest.raises(SeqitError, match="--format") as caught:
        guess_format(row, "x.json")
    assert words in str(caught.value)
    assert "x.json" in str(caught.value)


# --- exporting ---


def test_the_table_lists_every_format_and_which_can_be_exported():
    assert [load_format(name).name for name in FORMATS] == list(FORMATS)
    modules = {path.stem for path in Path(formats.__file__).parent.glob("*.py")}
    assert {path.rpartition(".")[2] for path in FORMATS.values()} == (
        modules - {"__init__", "base", "chat"}
    )
    record = complete_record({"instruction": "x", "input": "", "output": "y"}, "alpaca", "")
    for name in FORMATS:
        if name in EXPORTS:
            assert load_format(name).from_record(record)
        else:
            with pytest.raises(UsageError):
                load_format(name).from_record(record)
    with pytest.raises(UsageError, match="alpaca"):
        load_format("alpacca")


RICH = complete_record(
    {
        "instruction": "What next?",
        "input": "One, two",
        "output": "Three",
        "system": "Count.",
        "history": [["Ready?", "Yes."]],
        "images": ["a.png", "b.png"],
        "steps": [{"instruction": "Count."}],
        "metadata": {"topic": "numbers"},
    },
    "record",
    "",
)


def test_alpaca_is_written_as_llama_factory_reads_it():
    assert load_format("alpaca").from_record(RICH) == {
        "instruction": "What next?",
        "input": "One, two",
        "output": "Three",
        "system": "Count.",
        "history": [["<image><image>Ready?", "Yes."]],
        "images": ["a.png", "b.png"],
        "topic": "numbers",
    }


def test_sharegpt_is_written_as_axolotl_and_llama_factory_read_it():
    assert load_format("sharegpt").from_record(RICH) == {
        "conversations": [
            {"from": "human", "value": "<image><image>Ready?"},
            {"from": "gpt", "value": "Yes."},
            {"from": "human", "value": "What next?\nOne, two"},
            {"from": "gpt", "value": "Three"},
        ],
        "system": "Count.",
        "images": ["a.png", "b.png"],
        "topic": "numbers",
    }


def test_messages_are_written_as_trl_reads_them():
    assert load_format("messages").from_record(RICH) == {
        "messages": [
            {"role": "system", "content": "Count."},
            {"role": "user", "content": "Ready?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "What next?\nOne, two"},
            {"role": "assistant", "content": "Three"},
        ],
        "images": ["a.png", "b.png"],
        "topic": "numbers",
    }


def test_prompt_and_completion_are_texts_and_refuse_other_parts():
    plain = {"instruction": "Add.", "input": "1 2", "output": "3"}
    row = load_format("prompt-completion").from_record(complete_record(plain, "f", ""))
    assert row == {"prompt": "Add.\n1 2", "completion": "3"}
    with pytest.raises(RowError, match="export to messages") as caught:
        load_format("prompt-completion").from_record(RICH)
    assert caught.value.field == "system"


@pytest.mark.parametrize("name", EXPORTS)
def test_fields_are_kept_on_request_and_never_overwrite_a_column(name):
    plain = {"instruction": "x", "input": "", "output": "y", "metadata": {"topic": "t"}}
    record = complete_record(plain, "f", "")
    row = load_format(name).from_record(record, columns=("id", "lineage", "steps"))
    assert (row["id"], row["lineage"], row["topic"]) == (record["id"], record["lineage"], "t")
    assert "steps" not in row
    assert not {"id", "lineage", "source"} & load_format(name).from_record(record).keys()
    with pytest.raises(RowError, match="'id'"):
        load_format(name).from_record({**record, "metadata": {"id": 1}}, columns=("id",))
    column = next(iter(load_format(name).from_record(record)))
    with pytest.raises(RowError, match=column):
        load_format(name).from_record({**record, "metadata": {column: 1}})


def test_a_metadata_column_named_like_a_part_of_the_format_is_refused():
    row = {"messages": [USER], "system": "a database"}
    record = complete_record(load_format("messages").to_records(row)[0], "messages", "")
    with pytest.raises(RowError, match="system"):
        load_format("alpaca").from_record(record)


def test_image_placeholders_in_the_text_stay_where_they_are():
    row = {"instruction": "Left <image>, right?", "input": "", "output": "A", "images": ["a.png"]}
    [fields] = load_format("alpaca").to_records(row)
    assert fields["instruction"] == row["instruction"]
    assert load_format("alpaca").from_record(complete_record(fields, "alpaca", "")) == row
    two = complete_record({**fields, "images": ["a.png", "b.png"]}, "alpaca", "")
    with pytest.raises(RowError, match="1 <image> placeholders for 2 images"):
        load_format("alpaca").from_record(two)


# --- properties ---

# Placeholders in the text have a separate test above: one for each image, or an error.
texts = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda t: "<image>" not in t)
questions = texts.filter(str.strip)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
format_columns = {"instruction", "input", "output", "system", "history", "images"}
format_columns |= {"messages", "conversations", "prompt", "completion"}
columns = st.dictionaries(
    texts.filter(lambda key: key not in format_columns), json_values, max_size=3
)
exchanges = st.lists(st.tuples(texts, texts), max_size=2)
images = st.lists(questions, max_size=2)


@st.composite
def fields(draw):
    """All parts of a record but steps."""
    parts = {"instruction": draw(questions), "input": draw(texts), "output": draw(texts)}
    for key, values in (("system", texts), ("images", images), ("metadata", columns)):
        if value := draw(values):
            parts[key] = value
    if pairs := draw(exchanges):
        parts["history"] = [list(pair) for pair in pairs]
    return parts


def turns(row, role, text, user, assistant):
    found = [pair for q, a in row.pop("history", []) for pair in ((user, q), (assistant, a))]
    found.append((user, row.pop("instruction")))
    if answer := row.pop("output"):
        found.append((assistant, answer))
    return [{role: name, text: content} for name, content in found]


def published_row(name, parts):
    """Return a row of the format as datasets publish it."""
    row = {**parts.pop("metadata", {}), **parts}
    placeholders = "<image>" * len(row.get("images", ()))
    if name in ("alpaca", "sharegpt"):
        if "history" in row:
            row["history"][0][0] = placeholders + row["history"][0][0]
        else:
            row["instruction"] = placeholders + row["instruction"]
    if name == "alpaca":
        return row
    del row["input"]
    if name == "sharegpt":
        return row | {"conversations": turns(row, "from", "value", "human", "gpt")}
    if name == "prompt-completion":
        texts = {"prompt": row["instruction"], "completion": row["output"]}
        return {key: row[key] for key in row if key not in format_columns} | texts
    system = row.pop("system", None)
    messages = [{"role": "system", "content": system}] if system else []
    return row | {"messages": messages + turns(row, "role", "content", "user", "assistant")}


@pytest.mark.parametrize("name", EXPORTS)
@given(parts=fields())
def test_an_imported_row_is_exported_unchanged(name, parts):
    row = published_row(name, parts)
    [found] = load_format(name).to_records(row)
    record = complete_record(found, name, "x")
    assert schema("record").is_valid(record), schema("record").problems(record)
    assert load_format(name).from_record(record) == row


@pytest.mark.parametrize("name", EXPORTS)
@given(parts=fields())
def test_an_exported_record_is_imported_with_all_its_text(name, parts):
    if name == "prompt-completion":
        parts = {key: parts[key] for key in parts if key not in ("system", "history", "images")}
    record = complete_record(parts, "record", "x")
    [found] = load_format(name).to_records(load_format(name).from_record(record))
    if name != "alpaca" and parts["input"]:
        parts["instruction"] += "\n" + parts["input"]
        parts["input"] = ""
    assert found == parts


@st.composite
def damaged_rows(draw):
    """A valid row of some format with one part replaced, or a column added."""
    _, row, _ = draw(st.sampled_from(CASES))
    return draw(damaged(row))


@st.composite
def damaged(draw, value):
    if not value or not isinstance(value, list | dict) or draw(st.integers(0, 3)) == 0:
        return draw(json_values | st.sampled_from(["user", "image", [], "a\tb", None]))
    key = draw(st.sampled_from(range(len(value)) if isinstance(value, list) else list(value)))
    changed = copy.copy(value)
    changed[key] = draw(damaged(value[key]))
    return changed


@settings(max_examples=400)
@given(value=damaged_rows() | json_values)
def test_any_value_becomes_records_or_a_row_error(value):
    before = json.dumps(value)
    for name in FORMATS:
        tried = load_format(name)
        assert tried.matches(value) in (True, False)
        for item in tried.items(value):
            try:
                found = tried.to_records(item)
            except RowError:
                continue
            for parts in found:
                record = complete_record(parts, name, "x")
                assert schema("record").is_valid(record), schema("record").problems(record)
                assert list(record) == [key for key in RECORD_KEYS if key in record]
                for export in EXPORTS:
                    try:
                        json.dumps(load_format(export).from_record(record))
                    except RowError:
                        continue
    assert json.dumps(value) == before


# --- real data ---


def json_lines(path):
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in data.splitlines()]


def text_lines(path):
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def json_array(path):
    return json.loads(path.read_bytes())


REAL = [
    ("self-instruct", "alpaca/seed_tasks.jsonl", json_lines, 175),
    ("gsm8k", "gsm8k/test.jsonl", json_lines, 1319),
    ("humaneval", "humaneval/HumanEval.jsonl.gz", json_lines, 164),
    ("humaneval", "humaneval/example_problem.jsonl", json_lines, 1),
    *(
        ("mgsm", f"mgsm/mgsm_{code}.tsv", text_lines, 250)
        for code in ("de", "en", "es", "sw", "zh")
    ),
    *(
        ("alpaca", f"alpacaeval/{model}/model_outputs.json", json_array, 805)
        for model in ("alpaca-7b", "gpt-3.5-turbo-1106", "gpt4_1106_preview", "wizardlm-13b")
    ),
]


@real_data
@pytest.mark.parametrize(("name", "path", "read", "count"), REAL)
def test_published_data_is_imported_completely(name, path, read, count):
    rows = read(DATA / path)
    assert guess_format(rows[0], path) == name
    records = [
        complete_record(f, name, path) for row in rows for f in load_format(name).to_records(row)
    ]
    assert len(records) == count
    assert all(map(schema("record").is_valid, records))


@real_data
def test_all_of_flancot_is_imported():
    count = 0
    for path in sorted((DATA / "flancot").glob("*.tsv")):
        for line in text_lines(path):
            [fields] = load_format("flancot").to_records(line)
            parts = (fields["instruction"], fields["output"], fields["metadata"]["rationale"])
            assert "\t".join(parts).replace("\n", "\\n") == line
            count += 1
    assert count == 33_443


@real_data
def test_the_empty_item_of_seqeval_is_refused():
    refused = []
    for number, row in enumerate(json_array(DATA / "seqeval" / "seqEval.json")):
        try:
            [fields] = load_format("alpaca").to_records(row)
            assert fields["metadata"] == {"iteration": row["iteration"]}
        except RowError as error:
            refused.append((number, error.field))
    assert refused == [(547, "instruction")]


@real_data
@pytest.mark.parametrize("code", ["ar", "de", "en", "es", "ru", "zh"])
def test_every_question_of_xquad_is_imported_with_its_span(code):
    document = json_array(DATA / "xquad" / f"xquad.{code}.json")
    xquad = load_format("xquad")
    assert guess_format(document, "xquad") == "xquad"
    count = 0
    for item in xquad.items(document):
        [fields] = xquad.to_records(item)
        start = fields["metadata"]["answers"][0]["answer_start"]
        assert fields["input"][start:].startswith(fields["output"])
        count += 1
    assert count == 1190


@real_data
def test_gsm8k_keeps_the_answer_and_cleans_the_rationale():
    for row in json_lines(DATA / "gsm8k" / "test.jsonl"):
        [fields] = load_format("gsm8k").to_records(row)
        assert fields["metadata"]["answer"] == row["answer"]
        assert row["answer"].endswith(f"\n#### {fields['output']}")
        assert "<<" not in fields["metadata"]["rationale"]
