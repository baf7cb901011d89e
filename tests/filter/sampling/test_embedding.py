"""filter --diverse with a sentence-embedding model: a tiny random one on the CPU."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from support.tiny_model import make_tokenizer

from seqit.errors import SeqitError, UsageError
from seqit.filter.sampling.embedding import EmbeddingModel

if not all(map(find_spec, ("torch", "transformers"))):
    pytest.skip(
        "seqit[train] is not installed; bin/test runs this in .venv-train", allow_module_level=True
    )
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TEXTS = ["List three rivers.", "Sum up the text, then translate it into English.", "", "x" * 900]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("embedder")
    make_tokenizer(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(folder)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def by_hand(folder, text, pool):
    import torch
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"][:128]
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(torch.tensor([ids])).last_hidden_state[0]
    vector = pool(states).numpy()
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("mode", "pool"),
    [
        (None, lambda states: states.mean(dim=0)),
        ("pooling_mode_mean_tokens", lambda states: states.mean(dim=0)),
        ("pooling_mode_cls_token", lambda states: states[0]),
        ("pooling_mode_lasttoken", lambda states: states[-1]),
    ],
)
def test_embeddings_in_a_batch_equal_those_of_single_texts(mode, pool, folder):
    config = folder / "1_Pooling" / "config.json"
    config.parent.mkdir(exist_ok=True)
    config.write_text(json.dumps({mode: True} if mode else {}))
    vectors = EmbeddingModel(str(folder)).embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 32)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert vector == pytest.approx(by_hand(folder, text, pool), abs=1e-5)


def test_the_command_uses_the_model(folder, tmp_path, seqit):
    rows = "".join(
        json.dumps({"instruction": f"Name {n % 5} trees.", "input": "", "output": "Oak."}) + "\n"
        for n in range(40)
    )
    file = tmp_path / "rows.jsonl"
    file.write_text(rows)
    args = ("filter", "--no-defaults", "-r", "keep", file, "--diverse", 5)
    ran = seqit(*args, "--embeddings", folder)
    assert ran.code == 0
    assert len({row["instruction"] for row in ran.rows}) == 5  # copies have distance 0
    assert "selected 5 of 40 rows" in ran.err
    assert seqit(*args, "--embeddings", folder).out == ran.out


def test_invalid_model_folders_are_errors(folder, tmp_path):
    with pytest.raises(UsageError, match="is not a model folder"):
        EmbeddingModel(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "none"}')
    with pytest.raises(SeqitError, match="transformers cannot load"):
        EmbeddingModel(str(tmp_path))
