"""The Python side of the live check: `prepare DIR MODEL`, `texts DIR MODEL`, then `score DIR`. See run.mjs."""
import json
import os
import shutil
import sys
import warnings

import torch
import transformers
import generation
from common import VERSIONS, adapted, dora, messages, room, table, variants, virtual
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, GPT2Config, GPT2ForSequenceClassification

LABELS = 2
torch.set_num_threads(2)
warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def load_base(path):
    return AutoModelForSequenceClassification.from_pretrained(
        path, dtype=torch.float32, num_labels=LABELS, pad_token_id=AutoTokenizer.from_pretrained(path).eos_token_id
    )


def logits_of(model, tokenizer, texts, batch=8):
    model.eval()
    rows = []
    # PEFT hands a prompt on as embeddings, without ids that tell the padding.
    if getattr(model, "peft_type", None) == "PROMPT_TUNING":
        batch = 1
    with torch.no_grad():
        for i in range(0, len(texts), batch):
            some = tokenizer(texts[i : i + batch], padding=True, truncation=True, return_tensors="pt")
            rows += model(**some).logits.tolist()
    return rows


def tokenizer_of(path, length):
    return AutoTokenizer.from_pretrained(path, pad_token="<|endoftext|>", padding_side="right", model_max_length=length)


def write(path, value):
    with open(path, "w") as file:
        json.dump(value, file)


def prepare(folder, micro):
    """A tiny base model of odd sizes, and adapters that real PEFT trains on it and on gpt2-micro."""
    torch.manual_seed(0)
    tiny = os.path.join(folder, "tiny")
    config = GPT2Config(n_positions=48, n_embd=20, n_layer=3, n_head=5, initializer_range=0.2)
    model = GPT2ForSequenceClassification(config).transformer
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".ln_" in name or "bias" in name or name.startswith("ln_"):
                value.add_(torch.randn_like(value) * 0.1)
    model.save_pretrained(tiny)
    for name in ["vocab.json", "merges.txt"]:
        shutil.copy(os.path.join(micro, name), tiny)
    rows = messages(50)
    texts = [text for text, _ in rows]
    write(os.path.join(folder, "messages.json"), rows)
    jobs = []
    for base_name, base, length in [("tiny", tiny, 48), ("micro", micro, 256)]:
        layers = load_base(base).config.n_layer
        for i, (name, settings) in enumerate({**variants(layers), **virtual(), **dora(layers), **table()}.items()):
            tokenizer = tokenizer_of(base, room(length, settings))
            model = adapted(load_base(base), settings, seed=i)
            optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
            for start in range(0, 32, 8):
                batch = tokenizer(texts[start : start + 8], padding=True, truncation=True, return_tensors="pt")
                labels = torch.tensor([label for _, label in rows[start : start + 8]])
                model.train()(**batch, labels=labels).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            place = os.path.join(folder, "from-peft", f"{base_name}-{name}")
            model.save_pretrained(place)
            jobs.append({"name": f"{base_name} {name}", "base": base, "directory": place, "logits": logits_of(model, tokenizer, texts)})
    write(os.path.join(folder, "from-peft.json"), {"versions": VERSIONS, "texts": texts, "jobs": jobs})


def write_texts(folder, micro):
    """What transformers writes behind prompts, with gpt2-micro alone and with each of PEFT's adapters."""
    model, tokenizer = generation.load(micro)
    n_layer = model.config.n_layer
    jobs = [{"name": "micro", "tokens": generation.TOKENS, "ids": generation.greedy(model, tokenizer)}]
    for i, (name, settings) in enumerate({**variants(n_layer), **virtual(), **dora(n_layer)}.items()):
        model, _ = generation.load(micro, settings, seed=i)
        place = os.path.join(folder, "texts", name)
        model.save_pretrained(place)
        ids = generation.greedy(model, tokenizer, generation.PROMPTS[:5], 20)
        jobs.append({"name": f"micro with {name}", "adapter": place, "tokens": 20, "ids": ids})
    write(os.path.join(folder, "texts.json"), {"prompts": generation.PROMPTS, "jobs": jobs})


def score(folder):
    """Loads what Lowrank exported, and compares logits and labels with what Lowrank computed."""
    with open(os.path.join(folder, "to-peft.json")) as file:
        work = json.load(file)
    bad = 0
    for job in work["jobs"]:
        if job["form"] == "merged":
            model = AutoModelForSequenceClassification.from_pretrained(job["directory"])
            tokenizer = AutoTokenizer.from_pretrained(job["directory"])
        else:
            model = PeftModel.from_pretrained(load_base(job["base"]), job["directory"])
            tokenizer = tokenizer_of(job["base"], job["length"])
        theirs = torch.tensor(logits_of(model, tokenizer, work["texts"]), dtype=torch.float64)
        single = torch.tensor(logits_of(model, tokenizer, work["texts"][:5], batch=1), dtype=torch.float64)
        ours = torch.tensor(job["logits"], dtype=torch.float64)
        error = ((theirs - ours).norm() / ours.norm()).item()
        alone = ((single - ours[:5]).norm() / ours[:5].norm()).item()
        same = int((theirs.argmax(1) == ours.argmax(1)).sum())
        good = error <= 1e-4 and alone <= 1e-4 and same == len(ours)
        accuracy = ""
        if "truth" in work:
            truth = torch.tensor(work["truth"])
            accuracy = f", accuracy {(theirs.argmax(1) == truth).double().mean():.4f} / {(ours.argmax(1) == truth).double().mean():.4f}"
        print(f"{'ok  ' if good else 'FAIL'} {job['name']} -> {job['form']}: {error:.1e}, alone {alone:.1e}, {same}/{len(ours)} labels{accuracy}")
        bad += not good
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    {"prepare": prepare, "texts": write_texts, "score": score}[sys.argv[1]](*sys.argv[2:])
