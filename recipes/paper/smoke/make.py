"""Create the tiny models and data of the smoke runs: python make.py FOLDER.

All data is generated with one random seed. The files have the names and formats of the published
ones; the models have the published architectures with random weights.
"""

import gzip
import json
import random
import sys
from pathlib import Path

LANGUAGES = ("en", "de", "zh", "ru", "es")
PLACES = ("Bergen", "Porto", "Kandy", "Cusco", "Hobart", "Leeds", "Nara", "Gdansk")
THINGS = {
    "harbour": ("crane", "boat", "rope"),
    "kitchen": ("pan", "stove", "spoon"),
    "garden": ("rake", "hose", "bench"),
    "school": ("desk", "book", "board"),
    "station": ("clock", "ramp", "track"),
}
COLOURS = ("red", "green", "blue", "yellow")
IMAGE_TOKEN = "<image>"
BOS, END = "<|begin|>", "<|end|>"
IMAGE_SIZE, QUERY_TOKENS = 32, 4

# One text in all languages: {place}, {hour}, {number}.
TRAINS = {
    "en": "Train {number} leaves for {place} at {hour} o'clock in the morning.",
    "de": "Der Zug {number} fährt um {hour} Uhr am Morgen nach {place}.",
    "zh": "{number}次列车早上{hour}点开往{place}。",
    "ru": "Поезд {number} отправляется в {place} в {hour} часов утра.",
    "es": "El tren {number} sale hacia {place} a las {hour} de la mañana.",
}
WHICH_TRAIN = {
    "en": "Which train leaves for {place}?",
    "de": "Welcher Zug fährt nach {place}?",
    "zh": "哪趟列车开往{place}？",
    "ru": "Какой поезд отправляется в {place}?",
    "es": "¿Qué tren sale hacia {place}?",
}
APPLES = {
    "en": "Anna has {few} apples and picks {more} more. How many apples does she have now?",
    "de": "Anna hat {few} Äpfel und pflückt noch {more}. Wie viele Äpfel hat sie jetzt?",
    "zh": "安娜有{few}个苹果，又摘了{more}个。她现在有多少个苹果？",
    "ru": "У Анны {few} яблок, она срывает ещё {more}. Сколько яблок у неё теперь?",
    "es": "Ana tiene {few} manzanas y recoge {more} más. ¿Cuántas manzanas tiene ahora?",
}

# For training: texts that differ from the benchmarks', or decontamination would remove them all.
MUSEUMS = {
    "en": "The museum of {place} owns {number} paintings, most of them from the last century.",
    "de": "Das Museum von {place} hat {number} Gemälde, die meisten aus dem letzten Jahrhundert.",
    "zh": "{place}博物馆藏有{number}幅画，大多来自上个世纪。",
    "ru": "Музей города {place} хранит {number} картин, большинство из прошлого века.",
    "es": "El museo de {place} posee {number} cuadros, la mayoría del siglo pasado.",
}
HOW_MANY_PAINTINGS = {
    "en": "How many paintings are there?",
    "de": "Wie viele Gemälde gibt es?",
    "zh": "有多少幅画？",
    "ru": "Сколько там картин?",
    "es": "¿Cuántos cuadros hay?",
}
TIMES = {
    "en": "What is {few} times {more}?",
    "de": "Was ist {few} mal {more}?",
    "zh": "{few}乘以{more}等于多少？",
    "ru": "Сколько будет {few} умножить на {more}?",
    "es": "¿Cuánto es {few} por {more}?",
}


def write(path, text):
    """Write a text to a file and create its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_rows(path, rows):
    """Write one JSON object per line."""
    write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_list(path, rows):
    """Write one JSON array."""
    write(path, json.dumps(rows, ensure_ascii=False))


def make_instructions(folder, rng):
    """Write Alpaca's, FlanCoT's, SeqEval's and AlpacaEval's files."""
    prompts = [f"Name {n} things that belong in a {place}." for n in (4, 5) for place in THINGS]
    seeds = []
    for place, things in THINGS.items():
        for number in (2, 3):
            prompt = f"Name {number} things that you can see in a {place}."
            seeds.append({"instruction": prompt, "output": ", ".join(things[:number])})
        listing = f"In the {place} we saw a {things[2]}, a {things[0]} and a {things[1]}."
        seeds.append(
            {"instruction": "Sort the things by name.", "input": listing, "output": things[0]}
        )
    # A duplicate seed, and one that is a benchmark item: both must be filtered out.
    seeds += [seeds[0], {"instruction": prompts[0], "output": "A crane, a boat, a rope, a quay."}]
    rng.shuffle(seeds)
    write_list(folder / "alpaca_data_cleaned.json", [{"input": "", **seed} for seed in seeds])
    chats = []
    for place in PLACES[:6]:
        hour, number = rng.randint(5, 11), rng.randint(100, 999)
        text = TRAINS["en"].format(place=place, hour=hour, number=number)
        prompt = f"{WHICH_TRAIN['en'].format(place=place)} Think step by step.\n\nText: {text}"
        answer = f"The text says that train {number} leaves for {place}. The answer is {number}."
        chats.append([("user", prompt), ("assistant", answer)])
    rows = [{"messages": [{"role": r, "content": c} for r, c in chat]} for chat in chats]
    write_rows(folder / "cot_data.jsonl", rows)
    chained = [f"{each} Then say which of them is the largest." for each in prompts[:6]]
    items = [{"instruction": each, "iteration": n % 4 + 1} for n, each in enumerate(chained)]
    write_list(folder / "seqEval.json", items)
    write_list(
        folder / "alpaca_eval.json", [{"instruction": e, "dataset": "smoke"} for e in prompts[:4]]
    )


def make_benchmarks(folder, rng):
    """Write GSM8K's, HumanEval's, MGSM's and XQuAD's files."""
    for split, count in (("train", 9), ("test", 3)):
        rows = []
        for _ in range(count):
            few, more = rng.randint(2, 40), rng.randint(2, 40)
            solution = f"She has {few} + {more} = {few + more} apples.\n#### {few + more}"
            rows.append({"question": APPLES["en"].format(few=few, more=more), "answer": solution})
        write_rows(folder / "gsm8k" / f"{split}.jsonl", rows)
    problems = []
    for number, name in enumerate(("add", "multiply")):
        operator = "+*"[number]
        prompt = f'def {name}(a, b):\n    """Return a {operator} b."""\n'
        test = f"def check(candidate):\n    assert candidate(3, 4) == 3 {operator} 4\n"
        problems.append(
            {"task_id": f"Smoke/{number}", "prompt": prompt, "entry_point": name, "test": test}
            | {"canonical_solution": f"    return a {operator} b\n"}
        )
    lines = "".join(json.dumps(each) + "\n" for each in problems)
    (folder / "HumanEval.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    apples = [(rng.randint(2, 40), rng.randint(2, 40)) for _ in range(2)]
    trains = [(place, rng.randint(5, 11), rng.randint(100, 999)) for place in PLACES[:2]]
    for code in LANGUAGES:
        sums = [f"{APPLES[code].format(few=a, more=b)}\t{a + b}\n" for a, b in apples]
        write(folder / "mgsm" / f"mgsm_{code}.tsv", "".join(sums))
        paragraphs = []
        for place, hour, number in trains:
            text = TRAINS[code].format(place=place, hour=hour, number=number)
            answer = {"text": str(number), "answer_start": text.index(str(number))}
            question = {"id": f"train-{place}", "question": WHICH_TRAIN[code].format(place=place)}
            paragraphs.append({"context": text, "qas": [question | {"answers": [answer]}]})
        document = {"version": "1.1", "data": [{"title": "Trains", "paragraphs": paragraphs}]}
        write(folder / "xquad" / f"xquad.{code}.json", json.dumps(document, ensure_ascii=False))


def make_parallel(folder, rng):
    """Write Alpaca in five languages: rows with and without an input."""
    rows = {code: [] for code in LANGUAGES}
    for place in PLACES * 2:
        few, more, number = rng.randint(2, 40), rng.randint(2, 40), rng.randint(10, 999)
        for code in LANGUAGES:
            text = MUSEUMS[code].format(place=place, number=number)
            with_input = {"instruction": HOW_MANY_PAINTINGS[code], "input": text}
            without = {"instruction": TIMES[code].format(few=few, more=more), "input": ""}
            rows[code] += [
                with_input | {"output": str(number)},
                without | {"output": str(few * more)},
            ]
    for code, translated in rows.items():
        write_list(folder / f"alpaca_data_cleaned.{code}.json", translated)


def make_images(folder):
    """Write VQAv2's and GQA's rows, and their images."""
    from PIL import Image

    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, colour in enumerate(COLOURS):
        path = (folder / "images" / f"{colour}.png").absolute()
        Image.new("RGB", (40 + 8 * number, 32), colour).save(path)
        captions = [f"A {colour} wall without a door.", f"A wall that is painted {colour}."]
        answers = {"Which colour is the wall?": colour, "Is there a door?": "no"}
        rows += [
            {"image": str(path), "question": question, "answer": answer, "captions": captions}
            for question, answer in answers.items()
        ]
    write_rows(folder / "vqav2" / "train.jsonl", rows)
    validation = [{**row, "answers": [row["answer"]] * 10} for row in rows[:4]]
    write_rows(folder / "vqav2" / "val.jsonl", validation)
    keys = ("image", "question", "answer")
    write_rows(folder / "gqa" / "testdev.jsonl", [{k: row[k] for k in keys} for row in rows[4:]])


def make_tokenizer(folder, special):
    """Write a byte-level tokenizer without merges, and return it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = [BOS, END, *special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.add_special_tokens([BOS, END, *special])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, 0)]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=END, pad_token=END
    )
    wrapped.save_pretrained(folder)
    return wrapped


def llama_config(tokenizer):
    """Return the config of a Llama of two layers."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
    )


def make_llama(folder):
    """Write a random Llama with its tokenizer, without a chat template, like a base model."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(llama_config(make_tokenizer(folder, []))).save_pretrained(folder)


def make_instructblip(folder):
    """Write a random InstructBLIP over a Llama, like the one over Vicuna, and its processor."""
    import torch
    from transformers import (
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipProcessor,
        InstructBlipQFormerConfig,
        InstructBlipVisionConfig,
    )
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    tokenizer = make_tokenizer(folder, [IMAGE_TOKEN])
    qformer_tokenizer = make_tokenizer(folder / "qformer", [])
    pixels = BlipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    InstructBlipProcessor(
        pixels, tokenizer, qformer_tokenizer, num_query_tokens=QUERY_TOKENS
    ).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64}
    size |= {"num_hidden_layers": 2, "num_attention_heads": 2}
    vision = InstructBlipVisionConfig(**size, image_size=IMAGE_SIZE, patch_size=IMAGE_SIZE // 2)
    qformer = InstructBlipQFormerConfig(
        **size,
        vocab_size=len(qformer_tokenizer),
        encoder_hidden_size=32,
        max_position_embeddings=256,
        cross_attention_frequency=1,
    )
    config = InstructBlipConfig(
        vision_config=vision.to_dict(),
        qformer_config=qformer.to_dict(),
        text_config=llama_config(tokenizer).to_dict(),
        num_query_tokens=QUERY_TOKENS,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
    )
    model = InstructBlipForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens)  # with zeros all queries would get the same features
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 1}))


def main(folder):
    """Write all data and models, and finally an empty file `ready`."""
    rng = random.Random(0)
    for make in (make_instructions, make_benchmarks, make_parallel):
        make(folder / "data", rng)
    make_images(folder / "data")
    make_llama(folder / "llama")
    make_instructblip(folder / "instructblip")
    (folder / "ready").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
