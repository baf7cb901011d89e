"""Builds the chat messages of a record: the only place that decides what a model is shown."""

from seqit.llm.request import ImagePart, Message, TextPart
from seqit.records.formats.chat import prompt_text
from seqit.records.record import Record


def prompt_messages(record: Record) -> list[Message]:
    """Return the messages before the answer: system (if any), history, then the question.

    The question is formatted as in `export`, so that teacher, trainer and judge see one prompt.
    Images come first in the first user turn, before its text, as templates of vision models expect.
    """
    messages: list[Message] = []
    if system := record.get("system"):
        messages.append({"role": "system", "content": system})
    images: list[ImagePart] = [
        {"type": "image", "image": image} for image in record.get("images", [])
    ]
    for user, assistant in record.get("history", []):
        messages.append(_user_turn(user, images))
        messages.append({"role": "assistant", "content": assistant})
        images = []
    messages.append(_user_turn(prompt_text(record), images))
    return messages


def _user_turn(text: str, images: list[ImagePart]) -> Message:
    if not images:
        return {"role": "user", "content": text}
    text_part: TextPart = {"type": "text", "text": text}
    return {"role": "user", "content": [*images, text_part]}
