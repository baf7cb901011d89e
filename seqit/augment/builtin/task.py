"""The properties of the original task that decide which steps apply, each computed once."""

import re
from functools import cached_property

from seqit.augment.builtin.answer import Answer
from seqit.augment.builtin.options import AnswerOption, find_options
from seqit.checks import text_units

_CLAIM = re.compile(r'(?:^|\n)(?:[A-Z]\w+: )?"([^"\n]+)"(?=\n|$)')
_CLAIM_NOUN = re.compile(r"\b(sentence|statement|claim)\b")
_INPUT_NOUN = re.compile(
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
_POLITE_REQUEST = re.compile(r"(?:can|could|will|would) (?:you|i|we)\b", re.IGNORECASE)


class Task:
    """The original question or request, its input and its answer."""

    def __init__(self, text: str, content: str, answer: Answer) -> None:
        self.text = text
        self.content = content  # the record's input
        self.answer = answer

    @cached_property
    def _stem_and_options(self) -> tuple[str, tuple[AnswerOption, ...]]:
        return find_options(self.text)

    @property
    def stem(self) -> str:
        """The question without its options."""
        return self._stem_and_options[0]

    @property
    def options(self) -> tuple[AnswerOption, ...]:
        return self._stem_and_options[1]

    @cached_property
    def is_question(self) -> bool:
        return "?" in self.text or "？" in self.text or bool(self.options)

    @cached_property
    def is_multiple_choice(self) -> bool:
        """Whether there are options other than yes and no."""
        return len(self.options) > 1 and {o.text.casefold() for o in self.options} != {"yes", "no"}

    @cached_property
    def claim(self) -> str:
        """The only statement that is quoted on a separate line, or ""."""
        found = _CLAIM.findall(self.stem) if '"' in self.text else []
        return found[0].strip() if len(found) == 1 else ""

    @cached_property
    def claim_noun(self) -> str:
        """The instruction's word for the claim."""
        match = _CLAIM_NOUN.search(self.text.replace(f'"{self.claim}"', ""))
        return match[1] if match else "statement"

    @cached_property
    def content_noun(self) -> str:
        """The instruction's word for its input, or "input" if it is unclear."""
        # An input with labels ("Sentence: …\nWord: …") is not just a sentence.
        match = None if ":" in self.content else _INPUT_NOUN.search(self.text)
        return match[1] if match else "input"

    @cached_property
    def prose(self) -> str:
        """The question, if it is plain prose whose sentences and words can be asked for; or ""."""
        usable = self.is_question and not self.options and not self.claim and not self.content
        return self.stem if usable and "\n" not in self.stem and "`" not in self.stem else ""

    @cached_property
    def sentences(self) -> list[str]:
        return text_units.sentences(self.prose)

    @cached_property
    def numbers(self) -> list[str]:
        return text_units.clear_numbers(self.prose)

    @cached_property
    def question(self) -> str:
        """The only sentence that ends with a question mark, or ""."""
        if self.stem.count("?") != 1:
            return ""
        found = [s for s in text_units.sentences(self.stem) if s.endswith("?")]
        return found[0] if len(found) == 1 else ""

    @cached_property
    def question_type(self) -> str:
        """One of yes/no, multiple-choice and open; "" if it is ambiguous."""
        if self.is_multiple_choice:
            return "multiple-choice"
        first = _FIRST_WORD.match(self.question)
        if self.options or not first or self.text.count("?") != 1:
            return ""
        if _POLITE_REQUEST.match(self.question):
            return ""
        if first[0].casefold() in _YES_NO and not re.search(r"\bor\b", self.question):
            return "yes/no"
        return "open" if self.question_word else ""

    @cached_property
    def question_word(self) -> str:
        """The question word, if the question has only one and begins with it; or ""."""
        found = _QUESTION_WORDS.findall(self.question)
        first = _FIRST_WORD.match(self.question)
        alone = len(found) == 1 and first is not None and first[0].casefold() == found[0].casefold()
        return found[0].lower() if alone else ""
