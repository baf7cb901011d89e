"""A record as a chat: the one place that says what a model is shown."""

from seqit.backends.request import ImagePart, Message, TextPart
from seqit.records.record import Record


def prompt_text(record: Record) -> str:
    """Return the user's turn: the instruction, and the input, if any, after a blank line."""
    if record["input"]:
        return f"{record['instruction']}\n\n{record['input']}"
    return record["instruction"]


def chat_of(record: Record) -> list[Message]:
    """Return the turns before the answer: system (where given), history, then the prompt.

    Images stand before the prompt's text, as vision models' templates expect.
    """
    chat: list[Message] = []
    if system := record.get("system"):
        chat.append({"role": "system", "content": system})
    for user, assistant in record.get("history", []):
        chat.append({"role": "user", "content": user})
        chat.append({"role": "assistant", "content": assistant})
    text = prompt_text(record)
    images: list[TextPart | ImagePart] = [
        {"type": "image", "image": image} for image in record.get("images", [])
    ]
    if images:
        chat.append({"role": "user", "content": [*images, {"type": "text", "text": text}]})
    else:
        chat.append({"role": "user", "content": text})
    return chat
