"""A record as a chat: the one place that says what a model is shown."""

from seqit.llm.request import ImagePart, Message, TextPart
from seqit.records.formats.chat import question_of
from seqit.records.record import Record


def chat_of(record: Record) -> list[Message]:
    """Return the turns before the answer: system (where given), history, then the question.

    The question is put as `export` puts it, so that teacher, trainer and judge see one prompt.
    Images stand in the first turn, before its text, as vision models' templates expect.
    """
    chat: list[Message] = []
    if system := record.get("system"):
        chat.append({"role": "system", "content": system})
    images: list[ImagePart] = [
        {"type": "image", "image": image} for image in record.get("images", [])
    ]
    for user, assistant in record.get("history", []):
        chat.append(_user(user, images))
        chat.append({"role": "assistant", "content": assistant})
        images = []
    chat.append(_user(question_of(record), images))
    return chat


def _user(text: str, images: list[ImagePart]) -> Message:
    if not images:
        return {"role": "user", "content": text}
    words: TextPart = {"type": "text", "text": text}
    return {"role": "user", "content": [*images, words]}
