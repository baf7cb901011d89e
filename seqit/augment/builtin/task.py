"""The task that a chain is built around: what its question holds, each measured once."""

import re
from functools import cached_property

from seqit.augment.builtin.answer import Answer
from seqit.augment.builtin.options import AnswerOption, find_options
from seqit.checks import measures

_CLAIM = re.compile(r'(?:^|\n)(?:[A-Z]\w+: )?"([^"\n]+)"(?=\n|$)')
_CLAIM_NOUN = re.compile(r"\b(sentence|statement|claim)\b")
_GIVEN = re.compile(
    r"\b(?:the|this|that|these|a)(?: (?:following|given|provided|above|below))? "
    r"(paragraph|passage|sentence|article|email|review|dialogue|conversation|story|list|poem"
    r"|abstract|code|claim|text)\b"
)
_FIRST_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# fmt: off
_YES_NO = frozenset((
    "is", "are", "am", "was", "were", "do", "does", "did", "can", "could", "would", "will",
    "should", "has", "have", "had", "may", "might", "must",
))
# fmt: on
_QUESTION_WORDS = re.compile(r"\b(what|which|who|whom|whose|when|where|why|how)\b", re.IGNORECASE)
_FAVOUR = re.compile(r"(?:can|could|will|would) (?:you|i|we)\b", re.IGNORECASE)


class Task:
    """The original question or request, its input and its answer."""

    def __init__(self, text: str, content: str, answer: Answer) -> None:
        self.text = text
        self.content = content  # the record's input
        self.answer = answer

    @cached_property
    def _parts(self) -> tuple[str, tuple[AnswerOption, ...]]:
        return find_options(self.text)

    @property
    def stem(self) -> str:
        """The question without its options."""
        return self._parts[0]

    @property
    def options(self) -> tuple[AnswerOption, ...]:
        return self._parts[1]

    @cached_property
    def is_question(self) -> bool:
        return "?" in self.text or "？" in self.text or bool(self.options)

    @cached_property
    def offers_choice(self) -> bool:
        """Say whether there are options that are worth a step: more than yes and no."""
        return len(self.options) > 1 and {o.text.casefold() for o in self.options} != {"yes", "no"}

    @cached_property
    def claim(self) -> str:
        """The one statement quoted on a line of its own, or ""."""
        found = _CLAIM.findall(self.stem) if '"' in self.text else []
        return found[0].strip() if len(found) == 1 else ""

    @cached_property
    def claim_noun(self) -> str:
        match = _CLAIM_NOUN.search(self.text.replace(f'"{self.claim}"', ""))
        return match[1] if match else "statement"

    @cached_property
    def content_noun(self) -> str:
        """What the instruction calls its input, as far as that is sure."""
        # Labels in it, as in "Sentence: …\nWord: …", make it more than what its name says.
        match = None if ":" in self.content else _GIVEN.search(self.text)
        return match[1] if match else "input"

    @cached_property
    def story(self) -> str:
        """The text whose sentences, words and numbers can be asked for: a question in prose."""
        usable = self.is_question and not self.options and not self.claim and not self.content
        return self.stem if usable and "\n" not in self.stem and "`" not in self.stem else ""

    @cached_property
    def sentences(self) -> list[str]:
        return measures.sentences(self.story)

    @cached_property
    def numbers(self) -> list[str]:
        return measures.clear_numbers(self.story)

    @cached_property
    def question(self) -> str:
        """The only sentence that ends with a question mark, or ""."""
        if self.stem.count("?") != 1:
            return ""
        found = [s for s in measures.sentences(self.stem) if s.endswith("?")]
        return found[0] if len(found) == 1 else ""

    @cached_property
    def question_type(self) -> str:
        """Return yes/no, multiple-choice or open; "" where people could disagree."""
        if self.offers_choice:
            return "multiple-choice"
        first = _FIRST_WORD.match(self.question)
        if self.options or not first or self.text.count("?") != 1:
            return ""
        if _FAVOUR.match(self.question):
            return ""
        if first[0].casefold() in _YES_NO and not re.search(r"\bor\b", self.question):
            return "yes/no"
        return "open" if self.question_word else ""

    @cached_property
    def question_word(self) -> str:
        """The only question word of the question, or ""."""
        found = _QUESTION_WORDS.findall(self.question)
        first = _FIRST_WORD.match(self.question)
        alone = len(found) == 1 and first is not None and first[0].casefold() == found[0].casefold()
        return found[0].lower() if alone else ""
