"""Heals the lowest layers of SmolLM2 with a smaller vocabulary and 4-bit weights: their outputs are to be those of the whole model's lower layers.

    python3 heal.py SMOLLM2.gguf CORPUS.jsonl OUT.pt --minutes 25

The whole model's layers up to --target read a text in the whole vocabulary; the student reads it in the smaller one, whose tokens are pieces of
the other's. Loss: 1 - cosine between the student's last hidden state, at each piece, and the whole model's at the token that the piece is of; and
as much for a layer in between. Weights are rounded to 4 bits (Q4_1) all along; gradients pass straight through. AdamW.
"""
import argparse, json, random, time
from pathlib import Path
import torch
import torch.nn.functional as F
from corpus import SHARES, group
from smol import WHOLE, cut, hidden, rounded, tokenizer, weights


def sequences(corpus, tok, pieces, seed, longest=160):
    """(whole ids, cut ids, of each piece the index of its token) of training texts, by the shares, without end."""
    texts = {}
    for row in map(json.loads, open(corpus)):
        if not row["held"]:
            texts.setdefault(group(row["source"]), []).append(row["text"])
    rng = random.Random(seed)
    names, shares = zip(*SHARES.items())
    while True:
        text = rng.choice(texts[rng.choices(names, shares)[0]])
        ids = tok.encode(text).ids
        n = min(longest, max(8, int(rng.choice((24, 48, 96, 160)))))
        at = rng.randrange(max(1, len(ids) - n // 2)) if len(ids) > n and rng.random() < 0.5 else 0
        ids = ids[at:at + n]
        if len(ids) < 3:
            continue
        row, owner = [], []
        for t, i in enumerate(ids):
            row += pieces[i]
            owner += [t] * len(pieces[i])
        yield ids, row, owner


def batches(rows, budget):
    while True:
        some = sorted((next(rows) for _ in range(256)), key=lambda r: len(r[1]))
        groups, at = [], 0
        while at < len(some):
            n = 1
            while at + n < len(some) and (n + 1) * len(some[at + n][1]) <= budget:
                n += 1
            groups.append(some[at:at + n])
            at += n
        random.shuffle(groups)
        for g in groups:
            A, B = max(len(r[0]) for r in g), len(g[-1][1])
            whole, small, owner = torch.zeros(len(g), A, dtype=torch.long), torch.zeros(len(g), B, dtype=torch.long), torch.full((len(g), B), -1)
            for i, (ids, row, own) in enumerate(g):
                whole[i, :len(ids)], small[i, :len(row)], owner[i, :len(row)] = torch.tensor(ids), torch.tensor(row), torch.tensor(own)
            yield whole, small, owner


def main():
    a = argparse.ArgumentParser()
    a.add_argument("gguf"); a.add_argument("corpus"); a.add_argument("out")
    a.add_argument("--minutes", type=float, default=25)
    a.add_argument("--layers", type=int, default=6)
    a.add_argument("--target", type=int, default=8, help="layers of the whole model whose output is aimed at")
    a.add_argument("--vocabulary", type=int, default=24576)
    a.add_argument("--rate", type=float, default=2e-4)
    a.add_argument("--tokens", type=int, default=2048)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--from", dest="start")
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    whole = weights(o.gguf)
    frozen = {k: v.bfloat16() for k, v in whole.items()}
    keep = lambda k: not k.startswith("blk.") or int(k.split(".")[1]) < o.layers
    student = torch.load(o.start) if o.start else {k: (v[:o.vocabulary] if k == "token_embd.weight" else v).clone() for k, v in whole.items() if keep(k)}
    for v in student.values():
        v.requires_grad_()
    middle = (o.layers // 2 - 1, o.layers // 2 - 1)  # the same layer of both
    pieces = cut(o.gguf, o.vocabulary)
    data = batches(sequences(o.corpus, tokenizer(o.gguf, WHOLE), pieces, 1), o.tokens)
    trained = [v for k, v in student.items() if k != "output_norm.weight"]
    opt = torch.optim.AdamW([{"params": [v for v in trained if v.dim() == 2], "weight_decay": 0.0}, {"params": [v for v in trained if v.dim() == 1], "weight_decay": 0}], lr=o.rate, betas=(0.9, 0.98), fused=True)
    t0, step, seen, sums = time.time(), 0, 0, [0, 0]
    while (done := (time.time() - t0) / 60 / o.minutes) < 1:
        for g in opt.param_groups:
            g["lr"] = o.rate * min(1, (step + 1) / 40, (1 - done) / 0.35)
        big, small, owner = next(data)
        with torch.no_grad():
            target, kept = hidden(big, frozen, range(o.target), keep={middle[1]})
        w = {k: ((v + (rounded(v.detach()) - v.detach())) if v.dim() == 2 else v).bfloat16() for k, v in student.items()}
        h, inner = hidden(small, w, range(o.layers), keep={middle[0]})
        at = owner >= 0
        row = torch.arange(len(owner))[:, None].expand_as(owner)[at]
        apart = lambda x, y: 1 - F.cosine_similarity(x[at].float(), y[row, owner[at]].float(), dim=-1).mean()
        top, mid = apart(h, target), apart(inner[middle[0]], kept[middle[1]])
        opt.zero_grad()
        (top + 0.5 * mid).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        opt.step()
        step += 1
        seen += int(at.sum())
        sums[0] += top.item(); sums[1] += mid.item()
        if step % 50 == 0:
            print(f"step {step} {(time.time() - t0) / 60:.1f} min, {seen / 1e6:.2f} M tokens, {seen / (time.time() - t0):.0f}/s, rate {opt.param_groups[0]['lr']:.1e}, top {sums[0] / 50:.4f} middle {sums[1] / 50:.4f}", flush=True)
            sums = [0, 0]
        if step % 200 == 0:
            torch.save({k: v.detach() for k, v in student.items()}, o.out + ".part")
            Path(o.out + ".part").rename(o.out)
    torch.save({k: (rounded(v.detach()) if v.dim() == 2 else v.detach()) for k, v in student.items()}, o.out)
    print(f"end: {step} steps, {seen} tokens", flush=True)


if __name__ == "__main__":
    main()
