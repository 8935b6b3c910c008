"""The Python side of the live check: `prepare DIR MODEL`, `texts DIR MODEL`, then `score DIR`. See run.mjs."""
import json
import os
import sys
import warnings

import torch
import transformers
import generation
from common import VERSIONS, adapted, loras, messages, room, virtual
from peft import PeftModel
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, GPT2Config, GPTNeoXConfig, LlamaConfig, Qwen2Config

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


def write_tiny(folder, name, config, micro):
    """A tiny base model. No norm's weight is 1, no bias 0."""
    place = os.path.join(folder, name)
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 1:
                value.add_(torch.randn_like(value) * 0.1)
    model.save_pretrained(place)
    AutoTokenizer.from_pretrained(micro).save_pretrained(place)
    # With GPT-2's tokens, but split as transformers does for this type of model.
    AutoTokenizer.from_pretrained(place).save_pretrained(place)
    return place


def prepare(folder, micro):
    """Tiny base models of odd sizes, and adapters that real PEFT trains on them and on gpt2-micro."""
    torch.manual_seed(0)
    ends = dict(bos_token_id=50256, eos_token_id=50256, initializer_range=0.2)
    gpt2 = GPT2Config(n_positions=48, n_embd=20, n_layer=3, n_head=5, **ends)
    sizes = dict(vocab_size=50257, max_position_embeddings=48, num_hidden_layers=3, tie_word_embeddings=True, **ends)
    llama = LlamaConfig(hidden_size=48, intermediate_size=52, num_attention_heads=6, num_key_value_heads=2, **sizes)
    qwen2 = Qwen2Config(hidden_size=32, intermediate_size=44, num_attention_heads=4, num_key_value_heads=1, **sizes)
    neox = GPTNeoXConfig(hidden_size=48, intermediate_size=52, num_attention_heads=3, **sizes)
    bases = [(name, write_tiny(folder, name, config, micro), 48)
             for name, config in [("tiny", gpt2), ("llama", llama), ("qwen2", qwen2), ("neox", neox)]]
    rows = messages(50)
    texts = [text for text, _ in rows]
    write(os.path.join(folder, "messages.json"), rows)
    jobs = []
    for base_name, base, length in [*bases, ("micro", micro, 256)]:
        # PEFT has no prefixes for transformers' GPT-NeoX that classifies.
        without = {name: one for name, one in virtual().items() if base_name != "neox" or name == "prompt"}
        for i, (name, settings) in enumerate({**loras(load_base(base).config), **without}.items()):
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
    """What transformers writes behind prompts, with gpt2-micro and tiny models of other types alone and with each of PEFT's adapters."""
    model, tokenizer = generation.load(micro)
    jobs = [{"name": "micro", "tokens": generation.TOKENS, "ids": generation.greedy(model, tokenizer)}]
    for i, (name, settings) in enumerate({**loras(model.config, "CAUSAL_LM"), **virtual()}.items()):
        model, _ = generation.load(micro, settings, seed=i)
        place = os.path.join(folder, "texts", name)
        model.save_pretrained(place)
        ids = generation.greedy(model, tokenizer, generation.PROMPTS[:5], 20)
        jobs.append({"name": f"micro with {name}", "adapter": place, "tokens": 20, "ids": ids})
    for base in ("llama", "qwen2", "neox"):
        path = os.path.join(folder, base)
        every = {"nothing": None, **loras(generation.load(path)[0].config, "CAUSAL_LM"), **virtual()}
        for i, (name, settings) in enumerate(every.items()):
            model, tokenizer = generation.load(path, settings, seed=i)
            place = os.path.join(folder, "texts", f"{base}-{name}")
            if settings:
                model.save_pretrained(place)
            ids = generation.greedy(model, tokenizer, generation.PROMPTS[:5], 20)
            jobs.append({"name": f"{base} with {name}", "model": path, **({"adapter": place} if settings else {}), "tokens": 20, "ids": ids})
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
