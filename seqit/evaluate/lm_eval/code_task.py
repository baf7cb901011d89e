"""HumanEval by way of the harness: it asks the model, and the answers are run in the sandbox."""

from typing import Any

from seqit.records.formats.humaneval import INSTRUCTION

SAMPLED = 20
"""Programs for each item, as in the paper."""

_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""What comes after a function's body, where a model goes on with the text."""


def code_task(samples: int, chat: bool) -> dict[str, Any]:
    """Return the task as lm-evaluation-harness takes it: it generates, and measures nothing.

    One program for each item is greedy; several are drawn at 0.8 with top-p 0.95 (the paper). A
    chat model is asked to complete the function and may answer in prose; others go on with it.
    """
    drawn: dict[str, Any] = {"do_sample": samples > 1}
    if samples > 1:
        drawn |= {"temperature": 0.8, "top_p": 0.95}
    return {
        "task": "humaneval_generated",
        "dataset_path": "openai/openai_humaneval",
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": f"{INSTRUCTION}\n\n{{{{prompt}}}}" if chat else "{{prompt}}",
        "doc_to_target": "{{canonical_solution}}",
        "num_fewshot": 0,
        "repeats": samples,
        "generation_kwargs": {"until": [] if chat else list(_STOPS), "max_gen_toks": 1024, **drawn},
        "metadata": {"version": 1.0},
    }
