"""Run lm-evaluation-harness: load tasks, evaluate the model, yield the samples it logs."""

import difflib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from seqit.errors import SeqitError, UsageError
from seqit.evaluate.lm_eval.code_task import DEFAULT_SAMPLES, code_task
from seqit.evaluate.lm_eval.log import count_warnings, summarize_error
from seqit.evaluate.lm_eval.model import HarnessConfig, HarnessModel
from seqit.llm.providers.local.libraries import installed_version, silence_libraries

HUMANEVAL = "humaneval"
"""The benchmark whose answers the harness generates and seqit's sandbox runs."""


class BenchmarkPreset(NamedTuple):
    """A benchmark as in the paper: the harness's tasks, and the numbers of few-shot examples."""

    tasks: tuple[str, ...]
    shots: tuple[int, ...]


# Listed one by one: the harness's tag also includes the tasks with chains of thought in English.
_LANGUAGES = "bn de en es fr ja ru sw te th zh"  # codespell:ignore
_MGSM = tuple(f"mgsm_native_cot_{language}" for language in _LANGUAGES.split())


PRESETS = {
    "gsm8k": BenchmarkPreset(("gsm8k_cot",), (8,)),
    "mgsm": BenchmarkPreset(_MGSM, (8,)),
    "mmlu": BenchmarkPreset(("mmlu",), (0, 5)),
    "arc_challenge": BenchmarkPreset(("arc_challenge",), (25,)),
    "xquad": BenchmarkPreset(("xquad",), (0,)),
    "commonsense_qa": BenchmarkPreset(("commonsense_qa",), (0,)),
    HUMANEVAL: BenchmarkPreset((HUMANEVAL,), (0,)),
}
"""The benchmarks that the paper reports; zero-shot if it gives no number of examples."""


class Sample(NamedTuple):
    """One item as evaluated by a task: the harness's log entry, and its benchmark and settings."""

    benchmark: str
    task: str
    shots: int
    version: Any
    logged: Mapping[str, Any]
    chat: bool


class BrokenBenchmark(NamedTuple):
    """A benchmark that the harness could not finish, with the reason."""

    benchmark: str
    message: str


class _LoadedBenchmark(NamedTuple):
    """A benchmark's tasks; `default_shots` has the few-shot number of each task's own config."""

    name: str
    shots: tuple[int | None, ...]
    tasks: dict[str, Any]
    default_shots: dict[str, int | None]


@dataclass
class Harness:
    """One model and its tasks; raises SeqitError if one of them is not available."""

    config: HarnessConfig
    samples: int = DEFAULT_SAMPLES
    """Programs for each item of HumanEval."""
    report: Callable[[str], None] = lambda message: None
    """Called with a progress message before each benchmark."""
    warnings: Counter[str] = field(default_factory=Counter)
    """Counts of the harness's warnings, by their first line."""

    def __post_init__(self) -> None:
        self._model = HarnessModel(self.config, self.warnings)
        self.library = installed_version("lm_eval", "eval")
        self._model.check_library()
        silence_libraries()
        self._loaded: list[_LoadedBenchmark] = []

    def load_tasks(self, names: Sequence[str]) -> None:
        """Load the tasks with their data; raises UsageError for an unknown name."""
        unknown = [n for n in names if n not in PRESETS and n not in self._manager.task_index]
        if unknown:
            raise UsageError("; ".join(self._unknown_task(name) for name in unknown))
        for name in names:
            self._refuse_unsafe_task(name)
        # Before loading tasks, so that a missing model is reported before any data is downloaded.
        chat = self._model.applies_template
        self._loaded = [self._load(name, chat) for name in names]

    def _load(self, name: str, chat: bool) -> _LoadedBenchmark:
        preset = PRESETS.get(name)
        requested: list[Any] = list(preset.tasks) if preset else [name]
        if name == HUMANEVAL:
            requested = [code_task(self.samples, chat)]
        try:
            with count_warnings(self.warnings):
                tasks = self._manager.load(requested)["tasks"]
        except Exception as error:
            raise SeqitError(
                f"{name}: lm-eval cannot load the task or its data: {summarize_error(error)}. Data "
                "comes from the Hugging Face hub; without a network only data that was downloaded "
                "before (HF_HOME) and tasks of --include with local data can be used"
            ) from error
        if name == HUMANEVAL:
            for task in tasks.values():
                task.override_metric("bypass")  # the harness does not run the programs
        default_shots = {key: task.get_config("num_fewshot") for key, task in tasks.items()}
        return _LoadedBenchmark(name, preset.shots if preset else (None,), tasks, default_shots)

    def run(self, shots: int | None = None) -> Iterator[Sample | BrokenBenchmark]:
        """Load the model, and yield the samples of each task; `shots` overrides the presets."""
        model = self._model.loaded
        for loaded in self._loaded:
            for number in loaded.shots if shots is None else (shots,):
                self.report(f"{loaded.name}: {_size_of(loaded.tasks, self.config.limit)}")
                try:
                    samples = list(self._evaluate(model, loaded, number))
                except Exception as error:
                    yield BrokenBenchmark(
                        loaded.name, f"lm-eval broke off: {summarize_error(error)}"
                    )
                else:
                    yield from samples

    def _evaluate(
        self, model: Any, loaded: _LoadedBenchmark, shots: int | None
    ) -> Iterator[Sample]:
        import lm_eval
        import numpy
        import torch

        seed = self.config.seed
        random.seed(seed)
        numpy.random.seed(seed)
        torch.manual_seed(seed)
        for key, task in loaded.tasks.items():
            default = loaded.default_shots[key]
            # As in the harness: a task whose own config says 0 cannot take examples.
            number = default if default == 0 or shots is None else shots
            task.set_config("num_fewshot", number or 0)
            task.set_fewshot_seed(seed)
        with count_warnings(self.warnings):
            results = lm_eval.evaluate(
                model,
                {"tasks": loaded.tasks},
                limit=self.config.limit,
                bootstrap_iters=0,
                apply_chat_template=self._model.applies_template,
                fewshot_as_multiturn=self._model.applies_template,
            )
        for task_name, logged in results["samples"].items():
            task = loaded.tasks[task_name]
            number = task.get_config("num_fewshot")
            version = (task.get_config("metadata") or {}).get("version", task.VERSION)
            benchmark = f"{loaded.name}-{number}-shot"
            for entry in logged:
                yield Sample(
                    benchmark, task_name, number, version, entry, self._model.applies_template
                )

    @cached_property
    def _manager(self) -> Any:
        from lm_eval.tasks import TaskManager

        with count_warnings(self.warnings):
            return TaskManager(include_path=self.config.include or None)

    def _unknown_task(self, name: str) -> str:
        similar = difflib.get_close_matches(name, [*PRESETS, *self._manager.all_tasks], n=5)
        similar = list(dict.fromkeys(similar))
        hint = f"; similar names: {', '.join(similar)}" if similar else ""
        return f"lm-eval has no task {name!r}{hint}"

    def _refuse_unsafe_task(self, name: str) -> None:
        """Raise UsageError for a task with which the harness itself would run the model's code."""
        entry = self._manager.task_index.get(name)
        if name != HUMANEVAL and entry is not None and (entry.cfg or {}).get("unsafe_code"):
            raise UsageError(
                f"{name} runs the model's code without a sandbox, which bench does not allow; "
                f"{HUMANEVAL} runs it in seqit's sandbox"
            )


def _size_of(tasks: Mapping[str, Any], limit: int | None) -> str:
    items = [len(task.eval_docs) for task in tasks.values()]
    maximum = limit or max(items, default=0)
    return f"tasks {len(items):,}, items {sum(min(count, maximum) for count in items):,}"
