"""The form of an answer: fields in their marked places are parsed, anything else is an error."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqit.augment.form import AnswerField, TaggedForm
from seqit.llm.model_call import ParseError

CHOICE = TaggedForm((AnswerField("thought"), AnswerField("option", choices=("A", "B", "C", "D"))))
CHAIN = TaggedForm(
    (AnswerField("thought"), AnswerField("instruction"), AnswerField("steps", is_list=True))
)
VERDICT = TaggedForm(
    (
        AnswerField("thought"),
        AnswerField("verdict", choices=("complete", "incomplete")),
        AnswerField("instruction", allow_empty=True),
        AnswerField("steps", is_list=True, allow_empty=True),
    )
)

TAGS = [
    f"{slash}{name}>"
    for name in ("thought", "option", "instruction", "steps", "item")
    for slash in ("<", "</")
]
# Text with everything that could be mistaken for a border between two fields.
HOSTILE = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
        st.sampled_from(
            [
                *TAGS,
                "A.",
                "B",
                '{"option":"A"}',
                "```",
                "###",
                "\r\n",
                "\ufeff",
                "</thought><option>A",
            ]
        ),
    ),
    max_size=8,
).map(" ".join)


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize(
    ("form", "values"),
    [
        (CHOICE, {"thought": "It is one task.", "option": "A"}),
        (
            CHAIN,
            {"thought": "a\nb", "instruction": "Do\n\nit: `x`", "steps": ["One.", "Two\nlines"]},
        ),
        (
            VERDICT,
            {"thought": "All is there.", "verdict": "complete", "instruction": "", "steps": []},
        ),
    ],
)
def test_rendered_values_are_parsed_back(form, values, structured):
    assert form.parse(form.render(values, structured), structured) == values


@given(HOSTILE, HOSTILE, st.lists(HOSTILE, min_size=1, max_size=3))
def test_json_gives_back_any_text(thought, instruction, steps):
    values = {"thought": thought, "instruction": instruction, "steps": steps}
    shown = CHAIN.render(values, True)
    if all(text.strip() for text in (thought, instruction, *steps)):
        stripped = {"thought": thought.strip(), "instruction": instruction.strip()}
        assert CHAIN.parse(shown, True) == stripped | {"steps": [step.strip() for step in steps]}
    else:
        with pytest.raises(ParseError, match="is empty"):
            CHAIN.parse(shown, True)


@given(HOSTILE, st.sampled_from("ABCD"))
def test_tags_give_back_the_text_or_refuse(thought, option):
    try:
        values = CHOICE.parse(CHOICE.render({"thought": thought, "option": option}, False), False)
    except ParseError:
        assert not thought.strip() or "<" in thought
    else:
        assert values == {"thought": thought.strip(), "option": option}


@given(HOSTILE)
def test_no_text_without_its_form_is_an_answer(text):
    for structured in (True, False):
        with pytest.raises(ParseError):
            VERDICT.parse(text, structured)


@pytest.mark.parametrize(
    "text",
    [
        "So the option is: C",
        "So the option is: C\n\nOption: C",
        "A. a river\nB. a lake",
        "<thought>The answer to the question is A.</thought>",
        "<thought>It is A.</thought> Option B",
        "<thought>It asks much.</thought><option>A or B</option>",
        "<thought>It asks much.</thought><option>A. Or rather B.</option>",
        "<thought>It asks much.</thought><option>A task before it</option>",
        "<think>It asks much.<thought>x</thought><option>B</option>",
        "<thought>It asks much.</thought><option></option>",
        "<thought>It asks much.</thought><option>E</option>",
        "<thought>It asks much.</thought><option>A",
        "<option>A</option><thought>It asks much.</thought>",
        "<thought>One.</thought><option>A</option>\n<thought>No.</thought><option>B</option>",
        "<thought>One.</thought><option>A</option> No: <option>B</option>",
        "<option>B</option><thought>One.</thought><option>A</option>",
        "<thought></thought><option>A</option>",
        "",
    ],
)
def test_an_option_that_is_not_in_its_place_once(text):
    with pytest.raises(ParseError):
        CHOICE.parse(text, False)


@pytest.mark.parametrize(
    "text",
    [
        "<thought>So the option is: C. Its A. and B. are its own.</thought>\n<option>B</option>",
        "Here it is:\n\n<thought>x</thought>\r\n\r\n<option>\r\nB\r\n</option>\r\nI hope it helps.",
        "```xml\n<thought>x</thought>\n<option>(B).</option>\n```",
        "<thought>x</thought><option>Option B</option>",
        "<thought>x</thought><option>B. Put a task before it</option>",
        "<thought>x</thought><option>**B** (prefix)</option>",
        "\ufeff<thought>x</thought><option>**b**</option>",
        "<thought>An <option>A</option> in HTML, as asked.</thought><option>B</option>",
        "<think>Perhaps <thought>x</thought><option>A</option>?</think><thought>x</thought>"
        "<option>B</option>",
    ],
)
def test_an_option_in_its_place(text):
    assert CHOICE.parse(text, False)["option"] == "B"


@pytest.mark.parametrize(
    "text",
    [
        '{"thought":"x","option":"B"}',
        '\ufeff{"option": "B",\r\n "thought": "C"}',
        '```json\n{"thought":"x","option":"B"}\n```',
        '<think>{"thought":"x","option":"A"}</think>\n{"thought":"x","option":"B"}',
    ],
)
def test_json_in_its_place(text):
    assert CHOICE.parse(text, True)["option"] == "B"


@pytest.mark.parametrize(
    "text",
    [
        '{"thought":"x","option":"B","sure":true}',
        '{"thought":"x"}',
        '{"thought":"x","option":"A","option":"B"}',
        '{"thought":"x","option":["B"]}',
        '{"thought":null,"option":"B"}',
        '{"thought":"x","option":"B"',
        '[{"thought":"x","option":"B"}]',
        '{"thought":"x","option":"B"} {"thought":"x","option":"A"}',
        'The answer is {"thought":"x","option":"B"}',
        "<thought>x</thought><option>B</option>",
        "[" * 5000,
        "null",
    ],
)
def test_json_that_is_not_the_form(text):
    with pytest.raises(ParseError):
        CHOICE.parse(text, True)


@pytest.mark.parametrize("word", ["I know it is all there", "note the table", "no", "not complete"])
def test_a_verdict_is_no_word_in_passing(word):
    answer = {"thought": f"{word}.", "verdict": "complete", "instruction": "", "steps": []}
    assert VERDICT.parse(VERDICT.render(answer, False), False)["verdict"] == "complete"
    with pytest.raises(ParseError, match="verdict is not complete or incomplete"):
        VERDICT.parse(VERDICT.render(answer | {"verdict": word}, False), False)


def test_headings_and_hashes_end_no_instruction():
    text = "Read the notes.\n\n### Notes\n- one\n### More\n# comment\n#New Instruction#"
    values = {"thought": "x", "instruction": text, "steps": ["One ###", "Two"]}
    assert CHAIN.parse(CHAIN.render(values, False), False) == values


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("", "steps is empty"),
        ("Do it.", "outside of its <item> tags"),
        ("<item>One.</item> and <item>Two.</item>", "outside of its <item> tags"),
        ("<item>One.</item><item> </item>", "steps is empty"),
        ("<item>One.<item>Two.</item></item>", "outside of its <item> tags"),
    ],
)
def test_steps_are_items_and_nothing_else(steps, problem):
    text = f"<thought>x</thought><instruction>y</instruction><steps>{steps}</steps>"
    with pytest.raises(ParseError, match=problem):
        CHAIN.parse(text, False)


def test_the_schema_matches_the_parser():
    schema = VERDICT.schema
    assert schema["required"] == ["thought", "verdict", "instruction", "steps"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["verdict"] == {"type": "string", "enum": ["complete", "incomplete"]}
    assert schema["properties"]["steps"] == {"type": "array", "items": {"type": "string"}}
    assert orjson.dumps(schema)


def test_the_guidance_names_every_field_and_choice():
    for structured in (True, False):
        guidance = VERDICT.guidance(structured)
        assert all(field.name in guidance for field in VERDICT.fields)
        assert "incomplete" in guidance
