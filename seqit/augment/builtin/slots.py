"""Placeholders inside phrasings and replies, such as {it}, and their values."""

from seqit.augment.builtin.task import Task

SLOTS: dict[str, tuple[str, ...]] = {
    "it": ("your answer", "the result"),
    "claim": ("sentence", "statement", "claim"),
    "input": (
        *("input", "paragraph", "passage", "sentence", "article", "email", "review", "dialogue"),
        *("conversation", "story", "list", "poem", "abstract", "code", "claim", "text"),
    ),
    "n": ("one sentence", "two sentences", "three sentences", "four sentences"),
}
"""Every value of each slot, so that a clause can be traced back to its step."""


def fill_slots(template: str, task: Task, it: str = "") -> str:
    """Fill the slot of a phrasing or a reply with the task's own word; `it` names the answer."""
    if "{" not in template:
        return template
    if "{it}" in template:
        return template.replace("{it}", it)
    if "{claim}" in template:
        return template.replace("{claim}", task.claim_noun)
    if "{input}" in template:
        return template.replace("{input}", task.content_noun)
    return template
