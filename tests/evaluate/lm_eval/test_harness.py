"""seqit bench with the real lm-evaluation-harness, a random model and our own tasks."""

import json
import os
import subprocess

import pytest
from support.paths import BIN
from support.running import CommandResult

pytest.importorskip("lm_eval")
pytest.importorskip("torch")

from support.tiny_model import make_model

from seqit.evaluate.lm_eval import harness
from seqit.evaluate.lm_eval.code_task import code_task
from seqit.evaluate.lm_eval.harness import PRESETS, BenchmarkPreset, BrokenBenchmark, Harness
from seqit.evaluate.lm_eval.model import HarnessConfig
from seqit.evaluate.lm_eval.rows import RunLabels, read_samples, score_samples
from seqit.evaluate.sandbox.sandbox import TestResult as Result
from seqit.records.run_stats import RunStats
from seqit.records.validation import schema

pytestmark = pytest.mark.slow  # each run of the command reads the harness's 14,000 task files

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
QUESTIONS = [
    {"question": "How many wheels has a bicycle?", "answer": "2", "choices": ["2", "3"], "gold": 0},
    {"question": "How many legs has a spider?", "answer": "8", "choices": ["6", "8"], "gold": 1},
    {"question": "How many days has a week?", "answer": "7", "choices": ["5", "7"], "gold": 1},
]
WRITTEN = """
task: wheels
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}, train: {data}}}}}
output_type: generate_until
test_split: test
training_split: train
fewshot_split: train
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8, do_sample: false}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
filter_list:
  - {{name: first, filter: [{{function: take_first}}]}}
  - name: number
    filter: [{{function: regex, regex_pattern: "(\\\\d+)"}}, {{function: take_first}}]
metadata: {{version: 2.5}}
"""
CHOSEN = """
task: choose
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: gold
doc_to_choice: "{{{{choices}}}}"
num_fewshot: 0
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: f1}}
metadata: {{version: 1.0}}
"""
BROKEN = CHOSEN.replace("task: choose", "task: far_away").replace(
    "dataset_path: json", "dataset_path: nobody/nothing"
)
RUNS_CODE = CHOSEN.replace("task: choose", "task: runs_code\nunsafe_code: true")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with a chat template, one without, and the tasks."""
    folder = tmp_path_factory.mktemp("bench")
    make_model(folder / "chat", length=2048)
    make_model(folder / "base", template=None)
    data = folder / "questions.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    (folder / "tasks").mkdir()
    texts = {"wheels": WRITTEN, "choose": CHOSEN, "far": BROKEN, "code": RUNS_CODE}
    for name, text in texts.items():
        (folder / "tasks" / f"{name}.yaml").write_text(text.format(data=data))
    (folder / "chat" / "training.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def bench(folder):
    def run(*args, model="chat", tasks="wheels,choose") -> CommandResult:
        common = ["--model", f"transformers:{folder / model}", "--tasks", tasks]
        common += ["--include", folder / "tasks"]
        env = (
            os.environ | OFFLINE | {"HF_HOME": str(folder / "hub"), "PATH": f"{BIN}:/usr/bin:/bin"}
        )
        done = subprocess.run(
            [BIN / "seqit", "bench", *map(str, (*common, *args))],
            capture_output=True,
            env=env,
            cwd=folder,
            timeout=250,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture(scope="module")
def measured(bench):
    return bench("--limit", "2", "--label", "tiny")


def test_it_writes_a_score_for_each_item_filter_and_metric(measured):
    assert measured.code == 0, measured.err
    assert all(schema("score").is_valid(row) for row in measured.rows)
    keys = [(row["id"], row["benchmark"], row["metric"]) for row in measured.rows]
    assert keys == [
        ("wheels:0", "wheels-0-shot", "exact_match,first"),
        ("wheels:1", "wheels-0-shot", "exact_match,first"),
        ("wheels:0", "wheels-0-shot", "exact_match,number"),
        ("wheels:1", "wheels-0-shot", "exact_match,number"),
        ("choose:0", "choose-0-shot", "acc"),
        ("choose:0", "choose-0-shot", "f1"),
        ("choose:1", "choose-0-shot", "acc"),
        ("choose:1", "choose-0-shot", "f1"),
    ]
    assert {row["model"] for row in measured.rows} == {"tiny"}
    assert {row["judge"] for row in measured.rows} == {"lm-eval:wheels", "lm-eval:choose"}


def test_the_evidence_identifies_the_measurement(measured):
    first, *_ = measured.rows
    evidence = first["evidence"]
    assert (evidence["task"], evidence["doc_id"], evidence["filter"]) == ("wheels", 0, "first")
    assert (evidence["version"], evidence["shots"], evidence["chat"]) == (2.5, 0, True)
    assert evidence["expected"] == "2" and evidence["library"].startswith("lm_eval ")
    assert len(first["training"]) == 64


def test_the_choice_is_the_likelier_one(measured):
    for row in measured.rows:
        if row["metric"] == "acc":
            loglikelihoods = row["evidence"]["loglikelihoods"]
            best = loglikelihoods.index(max(loglikelihoods))
            assert row["value"] == float(best == row["evidence"]["expected"])


def test_a_metric_without_a_value_for_single_items_fails(measured):
    rows = [row for row in measured.rows if row["metric"] == "f1"]
    assert [(row["value"], row["status"]) for row in rows] == [(None, "failed")] * 2


def test_what_the_libraries_print_is_not_a_row(bench, folder):
    ran = bench("-o", folder / "scores.jsonl", "--manifest", folder / "m.json", tasks="choose")
    assert (ran.code, ran.out) == (0, b""), ran.err
    assert len((folder / "scores.jsonl").read_text().splitlines()) == 6
    manifest = json.loads((folder / "m.json").read_text())
    assert (manifest["read"], manifest["added"], manifest["written"]) == (3, 3, 6)
    assert "read 3, added 3, written 6" in ran.err


def test_few_shot_examples(bench):
    ran = bench("--num-fewshot", "1", "--limit", "1")
    assert ran.code == 0, ran.err
    benchmarks = {row["benchmark"] for row in ran.rows}
    assert benchmarks == {"wheels-1-shot", "choose-0-shot"}  # choose is 0-shot by its own settings


def test_a_model_without_a_chat_template_continues_the_text(bench):
    ran = bench("--limit", "1", model="base", tasks="choose")
    assert [row["evidence"]["chat"] for row in ran.rows] == [False, False]
    forced = bench("--apply-chat-template", model="base", tasks="choose")
    assert forced.code == 2 and "no chat template" in forced.err


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ("chooses", 2, "lm-eval has no task 'chooses'; similar names: choose"),
        ("gsm8", 2, "similar names: gsm8k"),
        ("far_away", 1, "far_away: lm-eval cannot load the task or its data"),
        ("runs_code", 2, "runs_code runs the model's code without a sandbox"),
    ],
)
def test_an_unusable_task_gets_an_error_message(bench, tasks, code, message):
    ran = bench(tasks=tasks)
    assert (ran.code, ran.out) == (code, b"")
    assert message in ran.err and "Traceback" not in ran.err


def test_a_task_that_breaks_off_fails_and_the_others_are_kept(bench, folder):
    text = WRITTEN.replace("task: wheels", "task: breaks").format(data=folder / "questions.jsonl")
    broken = text.replace("max_gen_toks: 8", "max_gen_toks: 5000")  # beyond the model's context
    (folder / "tasks" / "breaks.yaml").write_text(broken)
    ran = bench("--limit", "1", tasks="breaks,choose")
    assert (ran.code, len(ran.rows)) == (3, 2), ran.err
    assert "lm-eval broke off" in ran.err and "failed 1" in ran.err


@pytest.fixture
def in_process(folder, monkeypatch):
    """A harness in this process, with our own tasks and without the index of all others."""
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path=str(folder / "tasks"), include_defaults=False)
    monkeypatch.setattr(Harness, "_manager", tasks)
    config = HarnessConfig("transformers", str(folder / "chat"), limit=2)
    return Harness(config, samples=3)


def test_a_benchmark_with_two_few_shot_numbers_is_run_with_both(in_process, monkeypatch):
    monkeypatch.setitem(PRESETS, "both", BenchmarkPreset(("wheels",), (0, 2)))
    in_process.load_tasks(["both"])
    samples = list(in_process.run())
    assert {sample.benchmark for sample in samples} == {"both-0-shot", "both-2-shot"}
    prompts = {s.benchmark: s.logged["arguments"][0][0] for s in samples}
    assert [prompts[f"both-{n}-shot"].count("<|user|>") for n in (0, 2)] == [1, 3]


PROBLEM = {
    "task_id": "own/0",
    "prompt": 'def one() -> int:\n    """Return one."""\n',
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "one",
}


class FakeSandbox:
    """Passes programs that contain "return 1", without running them."""

    def run_tests(self, prompt, test, entry_point, source):
        return Result("return 1" in source, "wrong")


def test_programs_are_generated_by_the_harness_and_tested_in_the_sandbox(
    in_process, folder, monkeypatch
):
    file = folder / "problems.jsonl"
    file.write_text(json.dumps(PROBLEM) + "\n")

    def own_task(samples, chat):
        task = code_task(samples, chat) | {"dataset_path": "json"}
        task["generation_kwargs"]["max_gen_toks"] = 8
        return task | {"dataset_kwargs": {"data_files": {"test": str(file)}}}

    monkeypatch.setattr(harness, "code_task", own_task)
    in_process.load_tasks(["humaneval"])
    (sample,) = in_process.run()
    assert not isinstance(sample, BrokenBenchmark)
    generated = sample.logged["resps"][0]
    assert len(set(generated)) == 3  # the model's own settings (top_k 1) are reset
    answers = ["    return 1\n", "```python\ndef one():\n    return 2\n```", ""]
    generated[:] = answers
    stats = RunStats("bench")
    rows = read_samples(iter([sample]), stats)
    labels = RunLabels("tiny", "lm_eval")
    options = {"labels": labels, "sandbox": FakeSandbox(), "pass_at": [1], "workers": 1}
    scores = [row.value for row in score_samples(rows, stats, **options)]
    stats.written += len(scores)
    stats.close()
    assert all(schema("score").is_valid(row) for row in scores)
    assert [(row["metric"], row["value"]) for row in scores] == [
        ("pass", 1.0),
        ("pass", 0.0),
        ("pass", 0.0),
        ("pass@1", pytest.approx(1 / 3)),
    ]
    assert scores[0]["evidence"]["doc_id"] == 0 and scores[0]["root"] == "humaneval:0"


def test_every_benchmark_that_help_names_is_a_task_of_the_harness():
    from lm_eval.tasks import TaskManager

    index = TaskManager().task_index
    tasks = [task for preset in PRESETS.values() for task in preset.tasks]
    assert [task for task in tasks if task not in index] == []
