"""GPT-2's relatives as transformers writes them: eight checkpoints, each with other options of the configuration.

  python3 relatives.py make FOLDER     the checkpoints and relatives.json: ids, logits, loss and the gradient of every tensor (float32)
  python3 relatives.py score FOLDER    loads what merged.json lists with transformers; the largest error of its logits
"""
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

transformers.utils.logging.disable_progress_bar()
SIZES = dict(vocab_size=61, n_positions=16, n_layer=3, n_head=3, n_embd=24, initializer_range=0.3, pad_token_id=60,
             bos_token_id=60, eos_token_id=60)
LM, CLS = "lm", "classification"
CASES = {
    "gelu": (CLS, dict(activation_function="gelu")),
    "gelu_pytorch_tanh": (LM, dict(activation_function="gelu_pytorch_tanh", n_inner=40)),
    "relu": (LM, dict(activation_function="relu", n_inner=20)),
    "untied": (LM, dict(tie_word_embeddings=False)),
    "inverse": (LM, dict(scale_attn_by_inverse_layer_idx=True)),
    "unscaled": (CLS, dict(scale_attn_weights=False, tie_word_embeddings=False)),
    "upcast": (LM, dict(reorder_and_upcast_attn=True, scale_attn_by_inverse_layer_idx=True)),
    "sharded": (LM, dict(activation_function="gelu", n_inner=52, tie_word_embeddings=False)),
}


def ids_of(seed, rows=3, length=11):
    return torch.randint(0, 60, (rows, length), generator=torch.Generator().manual_seed(seed))


def make(folder):
    out = []
    for seed, (name, (objective, options)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        config = GPT2Config(**SIZES, **options, num_labels=3, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)
        config._attn_implementation = "eager"        # the only one that reorders and upcasts
        kind = GPT2ForSequenceClassification if objective == CLS else GPT2LMHeadModel
        model = kind(config)
        with torch.no_grad():                         # no bias is 0, no norm 1
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        directory = folder / name
        model.save_pretrained(directory, **({"max_shard_size": "20KB"} if name == "sharded" else {}))
        if name == "inverse":                         # a tied head is in the file as well
            path = directory / "model.safetensors"
            tensors = load_file(path)
            save_file({**tensors, "lm_head.weight": tensors["transformer.wte.weight"].clone()}, path, {"format": "pt"})
        ids = ids_of(seed)
        targets = torch.randint(0, 3, (len(ids),)) if objective == CLS else torch.cat([ids[:, 1:], torch.full((len(ids), 1), -100)], 1)
        logits = model(ids).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=-100)
        loss.backward()
        # Not the names: a tied head is one parameter, and a classifier has no use for a head of the vocabulary.
        grads = {k.removeprefix("transformer.").replace("score.", "head."): p.grad.flatten().tolist()
                 for k, p in model.named_parameters() if p.grad is not None}
        shards = len(list(directory.glob("*.safetensors")))
        out.append(dict(name=name, objective=objective, directory=str(directory), shards=shards, ids=ids.tolist(),
                        targets=targets.flatten().tolist(), logits=logits.flatten().tolist(), loss=loss.item(), grads=grads))
    (folder / "relatives.json").write_text(json.dumps(out))


def score(folder):
    """Models that were trained and merged by us."""
    bad = 0
    for job in json.loads((folder / "merged.json").read_text()):
        kind = GPT2ForSequenceClassification if job["objective"] == CLS else GPT2LMHeadModel
        model = kind.from_pretrained(job["directory"]).eval()
        with torch.no_grad():
            got, want = model(torch.tensor(job["ids"])).logits.flatten(), torch.tensor(job["logits"])
        error = (got - want).norm() / want.norm()
        good = error < 1e-5
        bad += not good
        print(f"{'ok  ' if good else 'FAIL'} relative {job['name']}, trained and merged -> transformers: {error:.1e}")
    return bad


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    sys.exit(make(folder) if what == "make" else 1 if score(folder) else 0)
