"""Writes test/golden/peft: a tiny base model by transformers, adapters by PEFT, and what they compute in float64.

python test/exchange/make_fixtures.py OUT: the same versions and seeds write the same values.
"""
import json
import os
import shutil
import sys

import torch
import torch.nn.functional as F
from common import VERSIONS, adapted, runs_alone, variants, virtual
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

LABELS = 3
PAD = 60
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
STEPS = 10
DTYPES = {"all-linear": torch.float16, "regex": torch.bfloat16}


VIRTUAL = 3
VIRTUAL_TASKS = {
    "prompt": ("prompt", "SEQ_CLS"),
    "prompt-lm": ("prompt", "CAUSAL_LM"),
    "prefix": ("prefix-projection", "SEQ_CLS"),
    "prefix-lm": ("prefix", "CAUSAL_LM"),
}


def batch(longest, seed=9):
    """Messages of several lengths, padded on the right with an id that none of them has."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([5, 1, longest, 3, 8, longest - 1])
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
    for name in [*variants(1), "score", "base", *VIRTUAL_TASKS]:
        shutil.rmtree(os.path.join(out, name), ignore_errors=True)
    base = GPT2ForSequenceClassification(config)
    with torch.no_grad():
        for name, value in base.named_parameters():
            if "ln_" in name or "bias" in name:
                value.add_(torch.randn_like(value) * 0.1)
    base.save_pretrained(os.path.join(out, "base"))
    messages = batch(config.n_positions)
    settings = variants(config.n_layer)
    # Without a task PEFT lets score have an adapter, beside the base model's own score.weight.
    settings["score"] = dict(target_modules=["c_attn", "score"], r=2, lora_alpha=3)
    for i, (name, lora) in enumerate(settings.items()):
        place = os.path.join(out, name)
        model = GPT2ForSequenceClassification.from_pretrained(os.path.join(out, "base"), dtype=torch.float32)
        model = adapted(model, lora, seed=i, task=None if name == "score" else "SEQ_CLS")
        dtype = DTYPES.get(name, torch.float32)
        for value in model.parameters():
            if value.requires_grad:
                value.data = value.data.to(dtype).float()
        model.save_pretrained(place)
        path = os.path.join(place, "adapter_model.safetensors")
        saved = load_file(path)
        if dtype != torch.float32:
            save_file({key: value.to(dtype) for key, value in saved.items()}, path, {"format": "pt"})
        expect(model.double().train(), place, messages)
    messages = batch(config.n_positions - VIRTUAL)
    for i, (name, (method, task)) in enumerate(VIRTUAL_TASKS.items()):
        kind = GPT2ForSequenceClassification if task == "SEQ_CLS" else GPT2LMHeadModel
        place = os.path.join(out, name)
        load = lambda dtype: kind.from_pretrained(os.path.join(out, "base"), dtype=dtype)
        adapted(load(torch.float32), virtual(VIRTUAL)[method], seed=i, task=task).save_pretrained(place)
        # As it is saved, the prefix of a projection is a parameter.
        model = PeftModel.from_pretrained(load(torch.float64), place).double()
        for key, value in model.named_parameters():
            value.requires_grad = key.startswith("prompt_encoder.") or "modules_to_save" in key
        expect(model.train(), place, messages)


def file_key(name):
    """The key of a parameter in PEFT's file."""
    name = name.replace("prompt_encoder.default.embedding.weight", "prompt_embeddings")
    return name.replace(".default", "").replace(".modules_to_save", "")


def logits_of(model, ids, lengths):
    """Of the messages, or, of a language model, of all tokens but the padding [N, V]."""
    if runs_alone(model):
        return torch.cat([model(input_ids=row[None, :n]).logits for row, n in zip(ids, lengths)])
    mask = (ids != PAD).long()
    logits = model(input_ids=ids, attention_mask=mask).logits
    return logits if logits.dim() == 2 else logits[:, -ids.shape[1] :][mask.bool()]


def expect(model, place, messages):
    """Writes what the model computes beside its adapter."""
    ids, lengths, labels = messages
    os.remove(os.path.join(place, "README.md"))
    keys = load_file(os.path.join(place, "adapter_model.safetensors")).keys()
    learning = {file_key(name): value for name, value in model.named_parameters() if value.requires_grad}
    assert set(learning) == set(keys), set(learning) ^ set(keys)
    # A language model predicts the next token of the packed messages.
    targets = labels if model.active_peft_config.task_type != "CAUSAL_LM" else ids[ids != PAD].roll(-1)
    logits = logits_of(model, ids, lengths)
    F.cross_entropy(logits, targets).backward()
    tensors = {"logits": logits.detach()}
    for key, value in learning.items():
        tensors[f"start.{key}"] = value.detach().clone()
        tensors[f"grad.{key}"] = value.grad.clone()
    optimizer = torch.optim.AdamW(learning.values(), **ADAMW)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(logits_of(model, ids, lengths), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    tensors["losses"] = torch.stack(losses)
    for key, value in learning.items():
        tensors[f"final.{key}"] = value.detach()
    tensors = {key: value.float().contiguous() for key, value in tensors.items()}
    for name, value in [("ids", ids), ("lengths", lengths), ("labels", targets)]:
        tensors[name] = value.to(torch.int32)
    path = os.path.join(place, "expect.safetensors")
    save_file(tensors, path, {"versions": json.dumps(VERSIONS), "adamw": json.dumps(ADAMW)})


if __name__ == "__main__":
    main(sys.argv[1])
