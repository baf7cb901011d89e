"""Adapters trained for a few steps, and what the model then says."""

from seqit.train.data.vision import class_of
from seqit.train.recipe import Lora

SMALL = Lora(rank=4, alpha=16)


IDS = list(range(10, 40))


def model_of(folder):
    return class_of(str(folder)).from_pretrained(folder)


def train(model, steps=4):
    """Move what is trained, so that adapters are no longer nothing."""
    import torch

    ids = torch.tensor([IDS])
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(steps):
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def logits_of(model):
    import torch

    with torch.inference_mode():
        return model(torch.tensor([IDS])).logits
