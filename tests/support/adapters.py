"""Train adapters for a few steps, and compute logits."""

from seqit.train.data.vision import auto_class_for
from seqit.train.recipe import Lora

SMALL = Lora(rank=4, alpha=16)
INPUT_IDS = list(range(10, 40))


def load_model(folder):
    return auto_class_for(str(folder)).from_pretrained(folder)


def train(model, steps=4):
    """Train the model, so that its adapters are no longer zero."""
    import torch

    ids = torch.tensor([INPUT_IDS])
    trainable = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-2)
    for _ in range(steps):
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def logits_of(model):
    import torch

    with torch.inference_mode():
        return model(torch.tensor([INPUT_IDS])).logits
