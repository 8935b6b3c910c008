"""Token classifiers, PEFT's TOKEN_CLS: `prepare DIR MODEL`, then `score DIR`. See tokens.mjs."""
import json
import os
import random
import sys

import torch
import transformers
from common import adapted, virtual
from peft import PeftModel
from seqeval.metrics import accuracy_score, f1_score
from transformers import AutoModelForTokenClassification, AutoTokenizer

TAGS = 5
WORDS = "the weather in of we met was fine today , nothing unbelievably good pizza .".split()
NAMES = {"PER": "Ann Lee Peter Smith O'Brien".split(), "LOC": "Berlin San Juan Rome Düsseldorf".split()}
MODULES = {"gpt2": ["c_attn", "c_fc"], "llama": ["q_proj", "v_proj", "down_proj"]}


def load(path, **more):
    return AutoModelForTokenClassification.from_pretrained(path, dtype=torch.float32, **more)


def encode(tokenizer, words):
    """Ids, and the first of each word: all have a space before them."""
    ids, firsts = list(tokenizer("")["input_ids"]), []
    for word in words:
        firsts.append(len(ids))
        ids += tokenizer(" " + word, add_special_tokens=False)["input_ids"]
    return ids, firsts


@torch.no_grad()
def logits_of(model, tokenizer, sentences):
    """Of all tokens of each sentence: [tokens, tags]. PEFT's prompts are rows before them."""
    model.eval()
    encoded = [encode(tokenizer, words)[0] for words in sentences]
    return [model(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits[0, -len(ids) :] for ids in encoded]


def made_up(count, seed):
    """Sentences with tags of every scheme, some of them wrong, as people's are."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        row = []
        for _ in range(rng.randint(1, 5)):
            kind = rng.choice(["PER", "LOC", None])
            some = rng.sample(NAMES[kind], rng.randint(1, 2)) if kind else [rng.choice(WORDS)]
            prefixes = rng.choice(["BI", "II", "BE", "SS"]) if rng.random() < 0.2 else "BI"
            row += [(word, f"{prefixes[i]}-{kind}" if kind else "O") for i, word in enumerate(some)]
        rows.append(row)
    return rows


def prepare(folder, micro):
    for seed, (name, count) in enumerate([("train", 120), ("val", 20), ("test", 60)]):
        with open(os.path.join(folder, f"{name}.conll"), "w") as file:
            for row in made_up(count, seed):
                file.write("".join(f"{word} {tag}\n" for word, tag in row) + "\n")
    # The words that Lowrank finds in a text: an apostrophe begins one.
    sentences = [[word for word, _ in row if "'" not in word] or ["rain"] for row in made_up(20, 9)]
    jobs = []
    for base_name, base in {"micro": micro, "llama": os.path.join(folder, "llama")}.items():
        tokenizer = AutoTokenizer.from_pretrained(base)
        modules = MODULES[load(base).config.model_type]
        for i, (name, settings) in enumerate([("lora", dict(r=4, lora_alpha=8, target_modules=modules)), ("prompt", virtual()["prompt"])]):
            model = adapted(load(base, num_labels=TAGS), settings, seed=i, task="TOKEN_CLS")
            place = os.path.join(folder, "from-peft", f"tokens-{base_name}-{name}")
            model.save_pretrained(place)
            logits = [rows.tolist() for rows in logits_of(model, tokenizer, sentences)]
            jobs.append(dict(name=f"{base_name} {name}", base=base, directory=place, logits=logits))
    with open(os.path.join(folder, "tokens-from-peft.json"), "w") as file:
        json.dump(dict(sentences=sentences, jobs=jobs), file)


def score(folder):
    """Loads what Lowrank exported: its logits, and its tags of a file as seqeval measures them, against Lowrank's."""
    work = json.load(open(os.path.join(folder, "tokens-to-peft.json")))
    test = [[line.split() for line in part.split("\n")] for part in open(os.path.join(folder, "test.conll")).read().strip().split("\n\n")]
    truth = [[tag for _, tag in row] for row in test]
    bad = 0
    for job in work["jobs"]:
        labels, source = job["labels"], job["directory"] if job["form"] == "merged" else job["base"]
        model, tokenizer = load(source, num_labels=len(labels)), AutoTokenizer.from_pretrained(source)
        if job["form"] == "peft":
            model = PeftModel.from_pretrained(model, job["directory"])
        theirs = torch.cat(logits_of(model, tokenizer, work["sentences"])).flatten()
        ours = torch.tensor([value for rows in job["logits"] for row in rows for value in row])
        error = ((theirs - ours).norm() / ours.norm()).item()
        sentences = [[word for word, _ in row] for row in test]
        found = [
            [labels[rows[first].argmax().item()] for first in encode(tokenizer, words)[1]]
            for words, rows in zip(sentences, logits_of(model, tokenizer, sentences))
        ]
        figures = [f1_score(truth, found), accuracy_score(truth, found)]
        good = error <= 1e-4 and max(abs(a - b) for a, b in zip(figures, job["figures"])) < 1e-12
        print(f"{'ok  ' if good else 'FAIL'} tokens {job['name']} -> {job['form']}: {error:.1e}, seqeval's F1 {figures[0]:.4f}, ours {job['figures'][0]:.4f}")
        bad += not good
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    {"prepare": prepare, "score": score}[sys.argv[1]](*sys.argv[2:])
