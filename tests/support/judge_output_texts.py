"""Judge outputs in many formats, each with the intended score; generated from a seed."""

from random import Random
from typing import NamedTuple


class Text(NamedTuple):
    """A judge's output; `expected` is its score, or None if it has no single score from 1 to 5.

    `must_parse`: it has the requested format, so the parser must accept it.
    """

    name: str
    text: str
    expected: str | None
    must_parse: bool = False


REASONS = (
    "The answer does both tasks, but the second one is thin.",
    "It names 3 rivers where 5 were asked for, and 2 of them are not in Europe.",
    "Step 1 is done. Step 2 is done in 4 lines instead of 3.",
    "I considered a 2 at first, but the list is complete.",
    "The answer claims that it deserves 5 out of 5. That counts for nothing.",
    'It says {"score": 5} in its last line, which is no part of an answer.',
    "Die Übersetzung stimmt, aber die Zusammenfassung fehlt.",
    "La réponse est correcte, mais elle ne suit pas l'ordre demandé.",
    "回答完成了两个任务，但第二个任务有错误。",
    "Clarity is good; accuracy could be better. An answer worth 5/5 would give sources.",
    "The code runs in 0.25 s and returns 42, as it should.",
    "Nothing is missing.\n\nThe tone fits, and the order is the one asked for.",
    "Score is hard to give here, since the instruction is vague.",
    "- complete: yes\n- correct: mostly\n- in order: yes",
)
RUBRIC = (
    "1 - it does not answer\n2 - a part of it\n3 - most of it\n4 - all, small faults\n5 - all of it"
)
LABELLED_RUBRIC = "\n".join(f"Score: {n} - {word}" for n, word in enumerate(
    ("useless", "poor", "fair", "good", "excellent"), 1))  # fmt: skip
REFUSALS = (
    "I'm sorry, but I can't help with evaluating this content.",
    "I cannot assist with that request.",
    "As an AI language model, I am unable to rate this response.",
    "I must decline to judge this answer, since it contains harmful material.",
    "Es tut mir leid, aber dabei kann ich nicht helfen.",
    "Je suis désolé, mais je ne peux pas évaluer ce contenu.",
    "Lo siento, no puedo ayudar con eso.",
    "抱歉，我无法评价这个回答。",
    "申し訳ありませんが、この回答を評価することはできません。",
    "Извините, я не могу оценить этот ответ.",
)


def _json(reason: str, score: object) -> str:
    import json

    return json.dumps({"reason": reason, "score": score}, ensure_ascii=False)


def _clear(rng: Random, reason: str, n: int) -> list[Text]:
    """Return texts with a score in the requested format, or in one that may be accepted."""
    m = str(n)
    return [
        Text("json", _json(reason, n), m, True),
        Text("json, indented", _json(reason, n).replace('", "', '",\n  "'), m, True),
        Text("json, text", _json(reason, m), m, True),
        Text("json, whole float", _json(reason, float(n)), m, True),
        Text("json, of five", _json(reason, f"{n}/5"), m),
        Text("fenced json", f"```json\n{_json(reason, n)}\n```", m, True),
        Text("fenced, no name", f"```\n{_json(reason, n)}\n```\n", m, True),
        Text("reasoning, json", f"<think>A 3? Score: 2.</think>\n{_json(reason, n)}", m, True),
        Text("line", f"{reason}\n\nScore: {n}", m, True),
        Text("bold line", f"{reason}\n\n**Score: {n}**", m, True),
        Text("bold label", f"{reason}\n\n**Score:** {n}", m, True),
        Text("heading", f"{reason}\n\n### Score: {n}\n", m, True),
        Text("of five", f"{reason}\nScore: {n}/5", m, True),
        Text("out of five", f"{reason}\nScore: {n} out of 5.", m, True),
        Text("small letters", f"{reason}\nscore: {n}", m, True),
        Text("brackets", f"{reason}\n\nScore: [[{n}]]", m),
        Text("overall", f"{reason}\n\nOverall score: {n}", m, True),
        Text("stop", f"{reason}\n\nScore: {n}.", m, True),
        Text("rubric first", f"{RUBRIC}\n\n{reason}\n\nScore: {n}", m, True),
        Text("sub-scores", f"{reason}\nClarity score: 5\nOrder score: 1\nScore: {n}", m),
        Text("reasoning, line", f"<think>\nScore: 1\n</think>\n\n{reason}\n\nScore: {n}", m, True),
        Text("number alone", f"{n}", m),
        Text("of five alone", f" {n}/5\n", m),
        Text("equals", f"{reason}\nScore = {n}", m),
        Text("German", f"{reason}\n\nBewertung: {n}", m),
        Text("Chinese", f"{reason}\n\n评分：{n}", m),
        Text("Russian", f"{reason}\n\nОценка: {n}", m),
        Text("Spanish", f"{reason}\n\nPuntuación: {n} / 5", m),
        Text("twice the same", f"Score: {n}\n\n{reason}\n\nScore: {n}", m),
        Text("sorry, but", f"I'm sorry to say it, but: {reason}\n\nScore: {n}", m, True),
        # In another format: parsed with the intended score, or rejected.
        Text("first line", f"Score: {n}\n\n{reason}", m),
        Text("prose", f"{reason} I would give it {n} out of 5.", m),
        Text("prose, points", f"{reason} All in all this deserves {n} points.", m),
        Text("remark behind", f"{reason}\n\nScore: {n} (would be 5 with sources)", m),
        Text("words", f"{reason}\n\nScore: {('one', 'two', 'three', 'four', 'five')[n - 1]}", m),
        Text("json in prose", f"Here is my verdict: {_json(reason, n)}", m),
        Text("stars", f"{reason}\n\nScore: {'★' * n}{'☆' * (5 - n)}", m),
        Text("other alphabet", f"{reason}\n\nScore: {'１２３４５'[n - 1]}", m),
    ]  # fmt: skip


def _unclear(rng: Random, reason: str, n: int) -> list[Text]:
    """Return texts without a score from 1 to 5, or with more than one."""
    other = rng.choice([k for k in range(1, 6) if k != n])
    ten = rng.choice([6, 7, 8, 9, 10])
    half = f"{min(n, 4)}.5"
    whole = _json(reason, n)
    return [
        Text("two lines", f"{reason}\nScore: {other}\nScore: {n}", None),
        Text("changed its mind", f"Score: {other}\n\n{reason}\n\nFinal score: {n}", None),
        Text("two sub-scores", f"{reason}\nScore (clarity): {n}\nScore (order): {other}", None),
        Text("two in a line", f"{reason}\nScore: {n} and {other}", None),
        Text("range", f"{reason}\nScore: {min(n, other)}-{max(n, other)}", None),
        Text("dash range", f"{reason}\nScore: {min(n, other)}–{max(n, other)}", None),
        Text("or", f"{reason}\nScore: {n} or {other}", None),
        Text("half", f"{reason}\nScore: {half}", None),
        Text("half, comma", f"{reason}\nScore: {half.replace('.', ',')}", None),
        Text("half of five", f"{reason}\nScore: {half}/5", None),
        Text("half in json", _json(reason, float(half)), None),
        Text("of ten", f"{reason}\nScore: {n}/10", None),
        Text("out of ten", f"{reason}\nScore: {n} out of 10", None),
        Text("ten in prose", f"{reason} I give it {n} out of 10.", None),
        Text("beyond", f"{reason}\nScore: {ten}", None),
        Text("beyond, of ten", f"{reason}\nScore: {ten}/10", None),
        Text("beyond in json", _json(reason, ten), None),
        Text("zero", f"{reason}\nScore: 0", None),
        Text("minus", f"{reason}\nScore: -{n}", None),
        Text("percent", f"{reason}\nScore: {n}0%", None),
        Text("small percent", f"{reason}\nScore: {n}%", None),
        Text("plus and minus", f"{reason}\nScore: {n} - 1 for the missing list", None),
        Text("rubric alone", f"{reason}\n\n{LABELLED_RUBRIC}", None),
        Text("rubric begun", "\n".join(LABELLED_RUBRIC.splitlines()[:n]), None),
        Text("rubric of numbers", f"{reason}\n\n{RUBRIC}", None),
        Text("scale restated", f"{reason}\nScore: a whole number from 1 to 5", None),
        Text("scale as form", f"{reason}\nScore: 1-5", None),
        Text("no score", reason, None),
        Text("label alone", f"{reason}\n\nScore:", None),
        Text("nothing", rng.choice(["", " \n", "…", "```\n```", "{}", "null", "[]"]), None),
        Text("none", f"{reason}\nScore: N/A", None),
        Text("null in json", _json(reason, None), None),
        Text("true in json", _json(reason, True), None),
        Text("list in json", _json(reason, [n]), None),
        Text("object in json", _json(reason, {"value": n}), None),
        Text("word in json", _json(reason, "high"), None),
        Text("two keys", whole[:-1] + f', "score": {other}}}', None),
        Text("another score", whole[:-1] + f', "final_score": {other}}}', None),
        Text("two objects", f"{whole}\n{_json(reason, other)}", None),
        Text("other keys", f'{{"rating": {n}, "comment": "fine"}}', None),
        Text("json cut", whole[: rng.randrange(1, whole.index('"score"') + 8)], None),
        Text("json cut late", whole[:-1], None),
        Text("json cut, fenced", f"```json\n{whole[:-2]}", None),
        Text("prose cut", reason[: rng.randrange(1, len(reason))], None),
        Text("reasoning cut", f"<think>\n{reason}\nScore: {n}\n", None),
        Text("refusal", rng.choice(REFUSALS), None),
        Text("refusal, more", f"{rng.choice(REFUSALS)} {reason}", None),
        Text("refusal in json", _json(rng.choice(REFUSALS), None), None),
        Text("quoted line", f'{reason}\nThe answer ends with\n> Score: {n}', None),
        Text("quoted in prose", f'{reason} The answer itself says "Score: {n}".', None),
        Text("quoted json", f'{reason} It tries to pass off {_json("good", n)}', None),
        Text("hypothetical", f"{reason}\nScore: {n} if the list were complete", None),
        Text("negated", f"{reason}\nScore: not {n}", None),
        Text("at most", f"{reason}\nScore: at most {n}", None),
        Text("approximately", f"{reason}\nScore: ~{n}", None),
        Text("more than", f"{reason}\nScore: {n}+", None),
        Text("version", f"{reason}\nScore: {n}.0.{other}", None),
        Text("steps, not a score", f"{reason}\nStep {n}: done", None),
        Text("number in the end", f"{reason}\n\n{n}", None),
        Text("many", f"{n} {other} {n}", None),
    ]  # fmt: skip


def output_texts(rounds: int, seed: int = 0) -> list[Text]:
    """Return each format `rounds` times, with random reasons and scores."""
    rng = Random(seed)
    texts = []
    for _ in range(rounds):
        for make in (_clear, _unclear):
            texts += make(rng, rng.choice(REASONS), rng.randint(1, 5))
    return texts
