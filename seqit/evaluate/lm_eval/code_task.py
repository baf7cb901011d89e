"""HumanEval as a harness task that only generates; the programs are run in the sandbox."""

from typing import Any

from seqit.records.formats.humaneval import INSTRUCTION

DEFAULT_SAMPLES = 20
"""Programs for each item, as in the paper."""

_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""What follows a function's body if a base model continues the text."""


def code_task(samples: int, chat: bool) -> dict[str, Any]:
    """Return the task configuration for lm-evaluation-harness; it has no metric.

    One program for each item is greedy; several are sampled at temperature 0.8 and top-p 0.95 (the
    paper). A chat model is asked to complete the function and may answer in prose; a base model
    continues the prompt.
    """
    sampling: dict[str, Any] = {"do_sample": samples > 1}
    if samples > 1:
        sampling |= {"temperature": 0.8, "top_p": 0.95}
    stops = [] if chat else list(_STOPS)
    return {
        "task": "humaneval_generated",
        "dataset_path": "openai/openai_humaneval",
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": f"{INSTRUCTION}\n\n{{{{prompt}}}}" if chat else "{{prompt}}",
        "doc_to_target": "{{canonical_solution}}",
        "num_fewshot": 0,
        "repeats": samples,
        "generation_kwargs": {"until": stops, "max_gen_toks": 1024, **sampling},
        "metadata": {"version": 1.0},
    }
