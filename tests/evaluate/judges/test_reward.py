"""The reward model judge, with a tiny random model that has one output."""

import json
import subprocess
import sys

import pytest
from support.judging import item, response, run
from support.paths import ROOT

from seqit.errors import SeqitError
from seqit.evaluate.judges.reward import RewardJudge

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def make_model(folder, labels=1, template=True):
    from support.tiny_model import TEMPLATE, make_tokenizer

    make_tokenizer(folder, TEMPLATE if template else None)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        num_labels=labels,
    )
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("reward"))


ANSWERS = ["A cod.", "An eel, which is long and lives in the sea and in rivers.", "", "None. " * 9]


def rewards(judge, answers=ANSWERS, **options):
    responses = [response(item(n), answer) for n, answer in enumerate(answers)]
    scores, stats, *_, tallies = run(responses, judges=[judge], **options)
    return scores, stats, tallies


def test_a_reward_is_one_number(model):
    scores, stats, _ = rewards(RewardJudge(model))
    assert [(s["metric"], s["status"], s["judge"]) for s in scores] == [
        ("reward", "scored", f"reward:{model}")
    ] * 4
    assert len({s["value"] for s in scores}) == 4
    assert stats.added == 0


def test_the_rest_of_the_batch_changes_nothing(model):
    batched = [s["value"] for s in rewards(RewardJudge(model))[0]]
    single = [s["value"] for s in rewards(RewardJudge(model, batch_size=1))[0]]
    assert batched == pytest.approx(single, abs=1e-4)


def test_the_reward_is_the_model_output(model):
    (score, *_), *_ = rewards(RewardJudge(model))
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    head = transformers.AutoModelForSequenceClassification.from_pretrained(model)
    chat = [{"role": "user", "content": item(0)["instruction"]},
            {"role": "assistant", "content": ANSWERS[0]}]  # fmt: skip
    ids = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True, return_tensors="pt")
    assert list(ids["input_ids"][0]).count(tokenizer.bos_token_id) == 1
    with torch.inference_mode():
        hidden = head.model(ids["input_ids"]).last_hidden_state[0]
        expected = float(head.score(hidden)[-1, 0])
    assert score["value"] == pytest.approx(expected, abs=1e-4)


def test_a_model_without_a_template_takes_a_pair(tmp_path):
    scores, *_ = rewards(RewardJudge(make_model(tmp_path, template=False)))
    assert len({s["value"] for s in scores}) == 4


def test_a_long_conversation_is_not_truncated(model):
    scores, stats, _ = rewards(RewardJudge(model), ["A cod.", "word " * 400, "An eel."])
    assert [(s["status"], s["value"] is None) for s in scores] == [
        ("scored", False),
        ("failed", True),
        ("scored", False),
    ]
    assert scores[1]["evidence"]["problem"] == "too-long"
    assert stats.failed == 1


def test_control_items_are_compared_with_the_good_one(model):
    *_, tallies = rewards(RewardJudge(model), controls=2)
    (counts,) = tallies.counts().values()
    assert {kind: c["n"] for kind, c in counts["reward"]["controls"].items()} == {
        "empty": 2,
        "off-topic": 2,
        "step-dropped": 2,
    }


def test_a_model_with_two_outputs_is_no_reward_model(tmp_path):
    with pytest.raises(SeqitError, match="has 2 outputs"):
        rewards(RewardJudge(make_model(tmp_path, labels=2)))


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(SeqitError, match="is not a model"):
        rewards(RewardJudge(str(tmp_path)))


def test_images_are_not_ignored(model):
    with pytest.raises(SeqitError, match="takes no images"):
        run([response(item(1, images=["fish.png"]))], judges=[RewardJudge(model)])


def test_the_command(model):
    rows = "".join(json.dumps(response(item(n))) + "\n" for n in range(3))
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "seqit",
            "judge",
            "--judge",
            f"reward:{model}",
            "--judge",
            "builtin",
        ],
        input=rows,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    scores = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {score["metric"] for score in scores} == {"reward"}
    assert "reward: mean" in ran.stderr
