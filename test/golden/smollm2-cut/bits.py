"""Bits per byte of held-out text: the small base, the whole model, gpt2-micro.

    python3 bits.py SMOLLM2.gguf CUT.gguf GPT2_MICRO CORPUS.jsonl

On the held-out texts of corpus.py, by kind of source. As in gpt2-micro's card: windows of 256 tokens that do not overlap, the first of a text behind
the token that ends a text. gpt2-micro's training may have seen some of these texts (its own hold-out was another), the cut model's has not.
"""
import json, math, sys
import torch
import torch.nn.functional as F
from smol import hidden, normed, tokenizer, weights

WINDOW, MOST = 256, 20  # tokens; texts of a source


def score(tokens, logits_of):
    nll = 0
    for at in range(0, len(tokens) - 1, WINDOW - 1):
        part = torch.tensor(tokens[at:at + WINDOW])
        if len(part) > 1:
            with torch.no_grad():
                nll += F.cross_entropy(logits_of(part[None, :-1])[0].float(), part[1:], reduction="sum").item()
    return nll


def smollm(path, source):
    w = {k: v.bfloat16() for k, v in weights(path).items()}
    layers = range(len({k.split(".")[1] for k in w if k.startswith("blk.")}))
    tok = tokenizer(path, w["token_embd.weight"].shape[0])
    return lambda text: score([0, *tok.encode(text).ids], lambda x: F.linear(normed(hidden(x, w, layers), w), w["token_embd.weight"]))


def micro(folder):
    from transformers import AutoModelForCausalLM
    from tokenizers import ByteLevelBPETokenizer
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tok = ByteLevelBPETokenizer(f"{folder}/vocab.json", f"{folder}/merges.txt")
    return lambda text: score([50256, *tok.encode(text).ids], lambda x: model(x).logits)


def main():
    whole, cut, folder, corpus = sys.argv[1:5]
    models = {"cut": smollm(cut, whole), "gpt2-micro": micro(folder), "whole": smollm(whole, whole)}
    rows = [r for r in map(json.loads, open(corpus)) if r["held"]]
    kinds = {}
    for r in rows:
        kind = "foreign" if r["source"].startswith(("common_voice_", "tatoeba_french")) else r["source"].split("_")[0]
        if "<|im_start|>" not in r["text"]:
            kinds.setdefault(kind, []).append(r["text"])
    total = {m: [0, 0] for m in models}
    for kind, texts in kinds.items():
        texts = texts[:MOST]
        size = sum(len(t.encode()) for t in texts)
        line = []
        for m, f in models.items():
            nll = sum(map(f, texts))
            if kind != "foreign":
                total[m][0] += nll
                total[m][1] += size
            line.append(f"{m} {nll / size / math.log(2):.3f}")
        print(f"{kind:12} {len(texts):4} texts {size:8} bytes", *line, flush=True)
    print("all English", *(f"{m} {n / s / math.log(2):.4f}" for m, (n, s) in total.items()))


main()
