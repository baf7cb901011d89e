"""The few words that change inside a phrasing."""

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
"""Every value that a slot can take, so that a wording can be led back to its phrasing."""


def fill(template: str, task: Task, it: str = "") -> str:
    """Put the task's own words into the slots of a phrasing or a reply."""
    if "{" not in template:
        return template
    if "{it}" in template:
        return template.replace("{it}", it)
    if "{claim}" in template:
        return template.replace("{claim}", task.claim_noun)
    if "{input}" in template:
        return template.replace("{input}", task.content_noun)
    return template
