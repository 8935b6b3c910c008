"""Writes test/golden/peft: a tiny base model by transformers, adapters by PEFT, and what they compute in float64.

python test/exchange/make_fixtures.py OUT: the same versions and seeds write the same values.
"""
import json
import os
import shutil
import sys

import torch
from common import VERSIONS, adapted, dora, loras, variants, virtual
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

LABELS = 3
PAD = 60
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
STEPS = 10
DTYPES = {"all-linear": torch.float16}


def batch(longest=12, seed=9):
    """Messages of several lengths, padded on the right with an id that none of them has."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([5, 1, 12, 3, 8, 11]).clamp(max=longest)
    ids = torch.full((len(lengths), longest), PAD)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(0, PAD, (length,), generator=generator)
    return ids, lengths, torch.tensor([0, 2, 1, 1, 0, 2])


def main(out):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=61, n_positions=12, n_embd=12, n_layer=2, n_head=3, initializer_range=0.3,
        num_labels=LABELS, pad_token_id=PAD, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )
    settings = {name: ("SEQ_CLS", lora) for name, lora in variants(config.n_layer).items()}
    settings |= {name: ("SEQ_CLS", one) for name, one in virtual().items()}
    settings |= {f"lm-{name}": ("CAUSAL_LM", virtual()[name]) for name in ("prompt", "prefix")}
    settings |= {name: ("SEQ_CLS", lora) for name, lora in {**dora(config.n_layer), "wte": loras(config)["wte"]}.items()}
    for name in [*settings, "base"]:
        shutil.rmtree(os.path.join(out, name), ignore_errors=True)
    base = GPT2ForSequenceClassification(config)
    with torch.no_grad():
        for name, value in base.named_parameters():
            if "ln_" in name or "bias" in name:
                value.add_(torch.randn_like(value) * 0.1)
    base.save_pretrained(os.path.join(out, "base"))
    for i, (name, (task, one)) in enumerate(settings.items()):
        place = os.path.join(out, name)
        kind = GPT2LMHeadModel if task == "CAUSAL_LM" else GPT2ForSequenceClassification
        model = kind.from_pretrained(os.path.join(out, "base"), dtype=torch.float32)
        # Two that went were the sixth and the seventh.
        model = adapted(model, one, seed=i if i < 5 else i + 2, task=task)
        dtype = DTYPES.get(name, torch.float32)
        for value in model.parameters():
            if value.requires_grad:
                value.data = value.data.to(dtype).float()
        model.save_pretrained(place)
        path = os.path.join(place, "adapter_model.safetensors")
        saved = load_file(path)
        if dtype != torch.float32:
            save_file({key: value.to(dtype) for key, value in saved.items()}, path, {"format": "pt"})
        os.remove(os.path.join(place, "README.md"))
        ids, lengths, labels = batch(config.n_positions - one.get("num_virtual_tokens", 0))
        if task == "CAUSAL_LM":
            labels = torch.cat([torch.cat([row[1:n], torch.tensor([-100])]) for row, n in zip(ids, lengths)])
        expect(model.double().train(), saved.keys(), ids, lengths, labels, os.path.join(place, "expect.safetensors"))


def file_key(name):
    """The key of a parameter in PEFT's file. That of a prefix's projection is the same without one: its output is saved."""
    if name.startswith("prompt_encoder."):
        return "prompt_embeddings"
    key = name.replace(".default", "").replace(".modules_to_save", "")
    return key.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def logits_of(model, ids, lengths):
    """Of messages, or of all tokens of texts but virtual ones. One at a time: in a batch prompt tuning classifies at padding."""
    rows = [model(input_ids=row[None, :n]).logits.flatten(0, -2)[-n:] for row, n in zip(ids, lengths)]
    return torch.cat(rows)


def expect(model, keys, ids, lengths, labels, path):
    learning = {file_key(name): value for name, value in model.named_parameters() if value.requires_grad}
    assert set(learning) == set(keys), set(learning) ^ set(keys)
    loss_of = lambda logits: torch.nn.functional.cross_entropy(logits, labels)
    logits = logits_of(model, ids, lengths)
    tensors = {"logits": logits.detach()}
    # What a prefix's projection learns is not in PEFT's file.
    if not any(".transform." in name for name, _ in model.named_parameters()):
        loss_of(logits).backward()
        for key, value in learning.items():
            tensors[f"start.{key}"] = value.detach().clone()
            tensors[f"grad.{key}"] = value.grad.clone()
        optimizer = torch.optim.AdamW(learning.values(), **ADAMW)
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = loss_of(logits_of(model, ids, lengths))
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        tensors["losses"] = torch.stack(losses)
        for key, value in learning.items():
            tensors[f"final.{key}"] = value.detach()
    tensors = {key: value.float().contiguous() for key, value in tensors.items()}
    for name, value in [("ids", ids), ("lengths", lengths), ("labels", labels)]:
        tensors[name] = value.to(torch.int32)
    save_file(tensors, path, {"versions": json.dumps(VERSIONS), "adamw": json.dumps(ADAMW)})


if __name__ == "__main__":
    main(sys.argv[1])
