"""Teaches the healed layers which texts belong together: the means of their outputs are to be close for two passages of one document, two parts of
one conversation, two questions of one intent, and far for others.

    python3 contrast.py SMOLLM2.gguf CORPUS.jsonl CLONES OUT.pt --from HEALED.pt --minutes 30

InfoNCE (van den Oord et al. 2018) as E5 has it (Wang et al. 2022): each text's partner among those of a batch, half of which is from one kind of
source, so that the kind alone tells nothing. In front of the cosine the features are centred, divided by their spread, and projected (a matrix that
is thrown away, as in SimCLR). At the end the weight of the last norm becomes the inverse spread of each feature over held-out texts: a head learns
all of them at the same rate. Weights are rounded as in heal.py. AdamW.
"""
import argparse, csv, io, json, random, time
from pathlib import Path
import torch
import torch.nn.functional as F
from corpus import files, group, plain
from smol import WIDTH, hidden, rounded, tokenizer

SHARES = {"openstax": .16, "digitalgov": .10, "18f": .04, "gutenberg": .24, "foreign": .06, "common": .05, "tatoeba_english": .04, "tatoeba_french": .02,
          "persona": .08, "topical": .09, "taskmaster": .02, "clinc": .06, "banking": .04}


def span(ids, rng, longest=64):
    n = rng.choice((12, 20, 32, 48, longest))
    at = rng.randrange(len(ids) - n + 1) if len(ids) > n else 0
    return ids[at:at + n]


class Pairs:
    """Draws two token sequences that belong together, and the intent of both or None."""

    def __init__(self, corpus, clones, tok, seed):
        self.rng, self.tok, self.texts, self.cache = random.Random(seed), tok, {}, {}
        for row in map(json.loads, open(corpus)):
            g = group(row["source"])
            if not row["held"] and g not in ("clinc150", "banking77"):
                self.texts.setdefault(g, []).append(row["text"])
        self.labelled = {"clinc": {}, "banking": {}}
        for _, text in files(clones / "clinc+oos-eval", r"data/data_full\.json"):
            for part in json.loads(text).values():
                for q, label in part:
                    if label != "oos":
                        self.labelled["clinc"].setdefault(label, []).append(q)
        for _, text in files(clones / "PolyAI-LDN+task-specific-datasets", r"banking_data/train\.csv"):
            for row in list(csv.reader(io.StringIO(text)))[1:]:
                self.labelled["banking"].setdefault(row[1], []).append(plain(row[0]))

    def ids(self, text):
        return self.tok.encode(text).ids

    def draw(self, g):
        rng = self.rng
        if g in self.labelled:
            label = rng.choice(list(self.labelled[g]))
            a, b = rng.sample(self.labelled[g][label], 2)
            return self.ids(a)[:64], self.ids(b)[:64], f"{g} {label}"
        texts = self.texts[g]
        while True:
            i = rng.randrange(len(texts))
            if g == "gutenberg":  # the next pieces are mostly of the same book
                j = min(len(texts) - 1, i + rng.randrange(4))
                a, b = self.ids(texts[i]), self.ids(texts[j])
                if i != j and min(len(a), len(b)) > 12:
                    return span(a, rng), span(b, rng), None
                a = self.ids(texts[i])
            else:
                a = self.ids(texts[i])
            if len(a) < 16:
                continue
            # Two parts that do not overlap.
            cut = rng.randrange(len(a) // 3, len(a) - len(a) // 3)
            return span(a[:cut], rng), span(a[cut:], rng), None

    def batch(self, n):
        names, shares = zip(*SHARES.items())
        one = self.rng.choices(names, shares)[0]
        out = [self.draw(one) for _ in range(n // 2)] + [self.draw(g) for g in self.rng.choices(names, shares, k=n - n // 2)]
        return out


def features(rows, w, layers, budget=4096):
    """[len(rows), WIDTH]: the mean over each row's tokens of the normed last hidden state; computed in groups of like lengths."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out, at = [None] * len(rows), 0
    while at < len(order):
        n = 1
        while at + n < len(order) and (n + 1) * len(rows[order[at + n]]) <= budget:
            n += 1
        some = order[at:at + n]; at += n
        T = len(rows[some[-1]])
        x, m = torch.zeros(n, T, dtype=torch.long), torch.zeros(n, T, 1)
        for r, i in enumerate(some):
            x[r, :len(rows[i])] = torch.tensor(rows[i]); m[r, :len(rows[i])] = 1
        h = F.rms_norm(hidden(x, w, range(layers)).float(), (WIDTH,))
        f = (h * m).sum(1) / m.sum(1)
        for r, i in enumerate(some):
            out[i] = f[r]
    return torch.stack(out)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("gguf"); a.add_argument("corpus"); a.add_argument("clones", type=Path); a.add_argument("out")
    a.add_argument("--from", dest="start", required=True)
    a.add_argument("--minutes", type=float, default=30)
    a.add_argument("--rate", type=float, default=1e-4)
    a.add_argument("--pairs", type=int, default=96)
    a.add_argument("--temperature", type=float, default=0.05)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--seed", type=int, default=1)
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    student = {k: v.detach().clone() for k, v in torch.load(o.start).items()}
    layers = len({k.split(".")[1] for k in student if k.startswith("blk.")})
    tok = tokenizer(o.gguf, len(student["token_embd.weight"]))
    pairs = Pairs(o.corpus, o.clones, tok, o.seed)
    with torch.no_grad():
        start = features([r for p in (pairs.batch(150) for _ in range(4)) for x in p for r in x[:2]], {k: v.bfloat16() for k, v in student.items()}, layers)
    mu, sd = start.mean(0), start.std(0)
    project = torch.eye(WIDTH).requires_grad_()
    trained = [v.requires_grad_() for k, v in student.items() if k != "output_norm.weight"]
    opt = torch.optim.AdamW([{"params": trained, "lr": o.rate}, {"params": [project], "lr": 10 * o.rate}], weight_decay=0, betas=(0.9, 0.98), fused=True)
    t0, step, seen, sums = time.time(), 0, 0, [0, 0]
    while (done := (time.time() - t0) / 60 / o.minutes) < 1:
        for g, k in zip(opt.param_groups, (1, 10)):
            g["lr"] = k * o.rate * min(1, (step + 1) / 20, (1 - done) / 0.5)
        some = pairs.batch(o.pairs)
        rows = [p[0] for p in some] + [p[1] for p in some]
        w = {k: ((v + (rounded(v.detach()) - v.detach())) if v.dim() == 2 else v).bfloat16() for k, v in student.items()}
        f = features(rows, w, layers)
        z = F.normalize(((f - mu) / sd) @ project.T, dim=-1)
        x, y = z.split(len(some))
        s = x @ y.T / o.temperature
        same = torch.tensor([[i != j and p[2] is not None and p[2] == q[2] for j, q in enumerate(some)] for i, p in enumerate(some)])
        s = s.masked_fill(same, -1e9)
        at = torch.arange(len(some))
        loss = (F.cross_entropy(s, at) + F.cross_entropy(s.T, at)) / 2
        opt.zero_grad(); loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        opt.step()
        step += 1; seen += sum(map(len, rows))
        sums[0] += loss.item(); sums[1] += (s.argmax(1) == at).float().mean().item()
        if step % 20 == 0:
            print(f"step {step} {(time.time() - t0) / 60:.1f} min, {seen / 1e6:.2f} M tokens, {seen / (time.time() - t0):.0f}/s, loss {sums[0] / 20:.3f} right {sums[1] / 20:.3f}", flush=True)
            sums = [0, 0]
    made = {k: (rounded(v.detach()) if v.dim() == 2 else v.detach()) for k, v in student.items()}
    held = [r["text"][:600] for r in map(json.loads, open(o.corpus)) if r["held"]]
    random.Random(5).shuffle(held)
    with torch.no_grad():
        spread = features([tok.encode(t).ids[:128] for t in held[:1500]], {k: v.bfloat16() for k, v in made.items()}, layers).std(0)
    torch.save(made | {"output_norm.weight": 1 / spread}, o.out)
    print(f"end: {step} steps, {seen} tokens", flush=True)


if __name__ == "__main__":
    main()
