"""Writes test/golden/encoders: tiny random encoders by transformers, adapters by PEFT, and what they compute in float64.

python test/exchange/make_encoders.py OUT: the same versions and seeds write the same values.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from common import VERSIONS, adapted
from make_fixtures import ADAMW, STEPS, expect, logits_of
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoModelForTokenClassification, BertConfig, RobertaConfig, XLMRobertaConfig

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
SIZES = dict(vocab_size=96, num_hidden_layers=2, num_labels=3, initializer_range=0.2, hidden_dropout_prob=0.0,
             attention_probs_dropout_prob=0.0)
MODELS = {
    "bert": BertConfig(**SIZES, max_position_embeddings=64, hidden_size=48, intermediate_size=40, num_attention_heads=3,
                       layer_norm_eps=1e-12, hidden_act="gelu"),
    "roberta": RobertaConfig(**SIZES, max_position_embeddings=66, hidden_size=32, intermediate_size=44, num_attention_heads=4,
                             layer_norm_eps=1e-5, hidden_act="gelu", type_vocab_size=1),
    "xlm-roberta": XLMRobertaConfig(**SIZES, max_position_embeddings=34, hidden_size=24, intermediate_size=32,
                                    num_attention_heads=2, layer_norm_eps=1e-5, hidden_act="gelu_new", type_vocab_size=1),
}
MODULES = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
ADAPTERS = {
    "lora": dict(r=4, lora_alpha=8, target_modules=MODULES),
    "dora": dict(r=4, lora_alpha=8, target_modules=["query", "value", "intermediate.dense"], use_dora=True),
}
# Weights that decay would tell a table of positions with the token type from one without.
PLAIN = {**ADAMW, "weight_decay": 0.0}
TYPES = "embeddings.token_type_embeddings.weight"


def batch(seed=9):
    """Messages of several lengths, and a class of each token; some have none."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([13, 1, 31, 6])
    ids = torch.full((4, 31), 1)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(2, 96, (length,), generator=generator)
    labels = torch.randint(0, 3, (int(lengths.sum()),), generator=generator)
    labels[::7] = -100
    return ids, lengths, labels


def write_base(config, out):
    """No norm's weight is 1, no bias 0."""
    model = AutoModelForTokenClassification.from_config(config)
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 1:
                value.add_(torch.randn_like(value) * 0.2)
    model.save_pretrained(out)


def vectors(model, ids, lengths):
    """The mean of a message's outputs, divided by its length, as sentence-transformers makes it."""
    outputs = [model.base_model(input_ids=row[None, :n]).last_hidden_state for row, n in zip(ids, lengths)]
    return functional.normalize(torch.cat([output.mean(1) for output in outputs]))


def steps(base, learns, ids, lengths, labels):
    """The losses of steps of AdamW of what `learns`, by the names of parameters, without the constant token type."""
    model = AutoModelForTokenClassification.from_pretrained(base, dtype=torch.float64).train()
    values = [value for key, value in model.named_parameters() if learns(key) and TYPES not in key]
    optimizer = torch.optim.AdamW(values, **PLAIN)
    losses = []
    for _ in range(STEPS):
        loss = functional.cross_entropy(logits_of(model, ids, lengths), labels)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def main(out):
    for seed, (name, config) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        shutil.rmtree(out / name, ignore_errors=True)
        base = out / name / "base"
        write_base(config, base)
        ids, lengths, labels = batch()
        model = AutoModelForTokenClassification.from_pretrained(base, dtype=torch.float64).train()
        logits = logits_of(model, ids, lengths)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        rounded = logits_of(AutoModelForTokenClassification.from_pretrained(base), ids, lengths)
        error = ((rounded - logits).norm() / logits.norm()).item()
        print(f"{name}: transformers in float32 is {error:.1e} from it")
        assert error < 2e-6
        tensors = {"ids": ids, "lengths": lengths, "labels": labels, "logits": logits, "loss": loss[None]}
        tensors["vectors"] = vectors(model, ids, lengths)
        # The constant token type is part of the positions in Lowrank: its gradient is their sum.
        tensors |= {f"grad.{key}": value.grad * (TYPES not in key) for key, value in model.named_parameters()}
        tensors["steps.all"] = steps(base, lambda key: True, ids, lengths, labels)
        tensors["steps.bitfit"] = steps(base, lambda key: key.endswith("bias") or "classifier" in key, ids, lengths, labels)
        tensors = {key: value.detach().contiguous() for key, value in tensors.items()}
        tensors = {key: value.float() if value.is_floating_point() else value.int() for key, value in tensors.items()}
        save_file(tensors, base / "expect.safetensors", {"versions": json.dumps(VERSIONS), "adamw": json.dumps(PLAIN)})
        for form, settings in ADAPTERS.items():
            adapter = out / name / form
            model = adapted(AutoModelForTokenClassification.from_pretrained(base, dtype=torch.float32), settings, seed, "TOKEN_CLS")
            model.save_pretrained(adapter)
            (adapter / "README.md").unlink()
            saved = load_file(adapter / "adapter_model.safetensors").keys()
            expect(model.double().train(), saved, ids, lengths, labels, adapter / "expect.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
