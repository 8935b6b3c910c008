"""Language models: training curves and perplexities by PyTorch, adapters by PEFT, for the live check and as a fixture.

python test/exchange/language.py fixture OUT MODEL TEXT writes OUT/adapter and OUT/expect.json; `prepare DIR MODEL TEXT` and
`score DIR` are the Python side of language.mjs.
"""
import copy
import json
import os
import sys

import torch
import torch.nn.functional as F
import transformers
from common import VERSIONS, Rng, adapted, loras, messages, virtual
from generation import loss
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

END = 50256
ADAPTER = dict(r=4, lora_alpha=8, target_modules=["c_attn"])
ADAMW = dict(lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
SEED = 3


def load(path, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(path, dtype=dtype).eval()


def write(path, value):
    with open(path, "w") as file:
        json.dump(value, file)
        file.write("\n")


def split(text, length):
    """The first `length` bytes of a text, which is ASCII: 80 % to train, 10 % to validate, 10 % to test."""
    ends = [0, length * 8 // 10, length * 9 // 10, length]
    return [text[a:b] for a, b in zip(ends, ends[1:])]


def blocks_of(tokenizer, text, length):
    """(ids, targets) of each block: the text between two <|endoftext|>, every token but the first predicted once."""
    stream = [END, *tokenizer(text, verbose=False)["input_ids"], END]
    last = len(stream) - 1
    return [(stream[at : min(at + length, last)], stream[at + 1 : at + length + 1]) for at in range(0, last, length)]


def sum_of_losses(model, blocks):
    """Of blocks of any lengths, one at a time; and the number of targets."""
    total = 0.0
    for ids, targets in blocks:
        logits = model(input_ids=torch.tensor([ids])).logits[0]
        total = total + F.cross_entropy(logits.double(), torch.tensor(targets), reduction="sum")
    return total, sum(len(targets) for _, targets in blocks)


@torch.no_grad()
def evaluate(model, blocks):
    total, count = sum_of_losses(model, blocks)
    return (total / count).item()


def curve(model, train, val, epochs, batch, every):
    """Losses of all steps, and of the validation set before the first, after every `every` and after the last."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **ADAMW)
    losses, evaluations = [], [evaluate(model, val)]
    steps = len(train) // batch
    for epoch in range(epochs):
        # As Blocks.order and Loader have it.
        order = Rng(Rng(SEED).next() ^ (epoch + 1)).shuffle(list(range(len(train))))
        for step in range(steps):
            total, count = sum_of_losses(model, [train[i] for i in order[step * batch : (step + 1) * batch]])
            mean = total / count
            optimizer.zero_grad()
            mean.backward()
            optimizer.step()
            losses.append(mean.item())
            if len(losses) % every == 0 or len(losses) == steps * epochs:
                evaluations.append(evaluate(model, val))
    return losses, evaluations


def train(path, place, text, length, block, epochs, batch, every, dtype=torch.float32):
    """A fresh adapter saved at `place`, and what training it gives."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    torch.manual_seed(0)
    model = get_peft_model(load(path, dtype), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **ADAPTER))
    saved = copy.deepcopy(model).float()
    saved.save_pretrained(place)
    os.remove(os.path.join(place, "README.md"))
    sets = [blocks_of(tokenizer, part, block) for part in split(text, length)]
    losses, evaluations = curve(model.eval(), sets[0], sets[1], epochs, batch, every)
    settings = dict(length=length, block=block, epochs=epochs, batch=batch, every=every, seed=SEED, adamw=ADAMW)
    return dict(settings=settings, losses=losses, evaluations=evaluations)


def perplexity(path, text, dtype=torch.float32):
    """Of a text in blocks of the context."""
    model = load(path, dtype)
    blocks = blocks_of(AutoTokenizer.from_pretrained(path), text, model.config.n_positions)
    return dict(bytes=len(text), loss=evaluate(model, blocks))


def fixture(out, path, text):
    text = open(text, encoding="ascii").read()
    place = os.path.join(out, "adapter")
    trained = train(path, place, text, 8000, 32, epochs=2, batch=4, every=6, dtype=torch.float64)
    config = os.path.join(place, "adapter_config.json")
    settings = json.load(open(config))
    write(config, {**settings, "base_model_name_or_path": "gpt2-micro"})
    scored = [perplexity(path, text[:20000], torch.float64), perplexity(path, text[:100000], torch.float64)]
    write(os.path.join(out, "expect.json"), dict(versions=VERSIONS, perplexity=scored, **trained))


def texts():
    rows = [text for text, _ in messages(50)]
    return [" ".join(rows[i : i + 5]) for i in range(0, 50, 5)]


def scores(model, tokenizer, some):
    """Mean loss of every text, as LanguageModel.score has it."""
    return [loss(model, tokenizer, text)["loss"] for text in some]


def prepare(folder, micro, text):
    text = open(text, encoding="ascii").read()
    jobs = []
    tiny = {name: os.path.join(folder, name) for name in ("tiny", "llama", "qwen2")}
    for base_name, base in {**tiny, "micro": micro}.items():
        tokenizer = AutoTokenizer.from_pretrained(base)
        settings = {**loras(load(base).config, "CAUSAL_LM"), **virtual()}
        for i, (name, lora) in enumerate(settings.items()):
            model = adapted(load(base), lora, seed=i, task="CAUSAL_LM").eval()
            place = os.path.join(folder, "lm-from-peft", f"{base_name}-{name}")
            model.save_pretrained(place)
            jobs.append(dict(name=f"{base_name} {name}", base=base, directory=place, scores=scores(model, tokenizer, texts())))
    place = os.path.join(folder, "lm-from-peft", "fresh")
    trained = train(micro, place, text, 100000, 64, epochs=1, batch=8, every=9)
    [whole] = scores(load(micro), AutoTokenizer.from_pretrained(micro), [text[:100000]])
    write(
        os.path.join(folder, "lm-from-peft.json"),
        dict(jobs=jobs, texts=texts(), directory=place, bytes=100000, loss=whole, **trained),
    )


def score(folder):
    """Loads what Lowrank exported, and compares its losses with those that Lowrank computed."""
    work = json.load(open(os.path.join(folder, "lm-to-peft.json")))
    bad = 0
    for job in work["jobs"]:
        if job["form"] == "merged":
            model, tokenizer = load(job["directory"]), AutoTokenizer.from_pretrained(job["directory"])
        else:
            model = PeftModel.from_pretrained(load(job["base"]), job["directory"]).eval()
            tokenizer = AutoTokenizer.from_pretrained(job["base"])
        theirs = scores(model, tokenizer, work["texts"])
        error = max(abs(a - b) / b for a, b in zip(job["scores"], theirs))
        good = error <= 1e-4
        print(f"{'ok  ' if good else 'FAIL'} lm {job['name']} -> {job['form']}: losses {error:.1e}")
        bad += not good
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    {"fixture": fixture, "prepare": prepare, "score": score}[sys.argv[1]](*sys.argv[2:])
