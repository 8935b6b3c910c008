"""Writes test/golden/llama and test/golden/neox: tiny Llama-type models and GPT-NeoX by transformers, adapters by PEFT,
and what they compute in float64.

python test/exchange/make_rotary.py OUT NAME...: the same versions and seeds write the same values. Without names: all.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from common import VERSIONS, adapted
from make_fixtures import expect, logits_of
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM, AutoModelForSequenceClassification, GPTNeoXConfig, LlamaConfig, Qwen2Config,
)
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
PAD = 95
SIZES = dict(vocab_size=96, max_position_embeddings=64, num_hidden_layers=2, num_labels=2, initializer_range=0.2,
             pad_token_id=PAD, bos_token_id=0, eos_token_id=0, use_cache=False)
# One wavelength is below 48 / 4, one is between that and 48, the others are longer: the three bands of Llama 3's scaling.
LLAMA3 = dict(rope_theta=10000.0, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=48)
LINEAR = dict(rope_theta=10000.0, rope_type="linear", factor=2.5)
# By name: the configuration, what the gradients of all parameters are of, and what the adapter's task is.
MODELS = {
    "llama": (LlamaConfig(**SIZES, hidden_size=48, intermediate_size=40, num_attention_heads=6, num_key_value_heads=2,
                          rms_norm_eps=1e-5, tie_word_embeddings=True, rope_parameters=dict(rope_theta=100000.0, rope_type="default")),
              "CAUSAL_LM", "SEQ_CLS"),
    "llama3": (LlamaConfig(**SIZES, hidden_size=48, intermediate_size=40, num_attention_heads=4, num_key_value_heads=1,
                           rms_norm_eps=1e-5, tie_word_embeddings=False, rope_parameters=LLAMA3),
               "CAUSAL_LM", "CAUSAL_LM"),
    "llama-linear": (LlamaConfig(**SIZES, hidden_size=32, intermediate_size=56, num_attention_heads=4, num_key_value_heads=4,
                                 rms_norm_eps=1e-6, tie_word_embeddings=True, rope_parameters=LINEAR),
                     "SEQ_CLS", "CAUSAL_LM"),
    "qwen2": (Qwen2Config(**SIZES, hidden_size=32, intermediate_size=44, num_attention_heads=4, num_key_value_heads=2,
                          rms_norm_eps=1e-6, tie_word_embeddings=True, rope_parameters=dict(rope_theta=1000000.0, rope_type="default")),
              "SEQ_CLS", "SEQ_CLS"),
    # As Pythia: a quarter of each head is rotated.
    "pythia": (GPTNeoXConfig(**SIZES, hidden_size=48, intermediate_size=40, num_attention_heads=3, layer_norm_eps=1e-5, hidden_act="gelu",
                             rope_parameters=dict(rope_theta=10000.0, rope_type="default", partial_rotary_factor=0.25)),
               "CAUSAL_LM", "SEQ_CLS"),
    "sequential": (GPTNeoXConfig(**SIZES, hidden_size=32, intermediate_size=44, num_attention_heads=4, layer_norm_eps=1e-6, hidden_act="gelu_new",
                                 use_parallel_residual=False, tie_word_embeddings=True,
                                 rope_parameters=dict(**LINEAR, partial_rotary_factor=0.5)),
                   "SEQ_CLS", "CAUSAL_LM"),
}
NEOX = ("pythia", "sequential")
# Their config.json has the form that published models have, from before transformers 5.
PUBLISHED = ("llama3", "qwen2", "pythia")
SETTINGS = dict(r=4, lora_alpha=8)
LLAMA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Some of those that are one matrix here.
PARTIAL_TARGETS = ["q_proj", "v_proj", "up_proj"]
NEOX_TARGETS = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
KINDS = {"CAUSAL_LM": AutoModelForCausalLM, "SEQ_CLS": AutoModelForSequenceClassification}


def exact(kind):
    """A norm in the type of its input: transformers rounds it to float32. (The angles of the rope stay as it rounds them.)"""
    kind.forward = lambda self, x: functional.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)


def batch(seed=9):
    """Messages of several lengths, padded on the right with an id that none of them has; their classes; the next tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([13, 1, 31, 6])
    ids = torch.full((4, 31), PAD)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(0, PAD, (length,), generator=generator)
    following = [torch.cat([row[1:n], torch.tensor([-100])]) for row, n in zip(ids, lengths)]
    return ids, lengths, {"SEQ_CLS": torch.tensor([0, 1, 1, 0]), "CAUSAL_LM": torch.cat(following)}


def published(config):
    """A config.json with the keys that transformers 4 wrote."""
    rope = config.pop("rope_parameters")
    theta, kind = rope.pop("rope_theta"), rope["rope_type"]
    config["torch_dtype"] = config.pop("dtype")
    if config["model_type"] == "gpt_neox":
        return {**config, "rotary_emb_base": theta, "rotary_pct": rope["partial_rotary_factor"]}
    return {**config, "rope_theta": theta, "rope_scaling": None if kind == "default" else rope}


def write_base(name, config, out):
    """A language model that also has the `score` of a classifier. No norm's weight is 1, no bias 0."""
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 1:
                value.add_(torch.randn_like(value) * 0.2)
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    tensors = load_file(out / "model.safetensors")
    score = torch.randn(config.num_labels, config.hidden_size) * 0.2
    save_file({**tensors, "score.weight": score}, out / "model.safetensors", {"format": "pt"})
    if name in PUBLISHED:
        path = out / "config.json"
        path.write_text(json.dumps(published(json.loads(path.read_text())), indent=2) + "\n")


def whole_model(out, learning, ids, lengths, labels):
    """Logits and losses of both heads, and the gradients of all parameters of one of the two models, by transformers' names."""
    tensors = {"ids": ids, "lengths": lengths}
    for task, kind in KINDS.items():
        model = kind.from_pretrained(out, dtype=torch.float64).train()
        logits = logits_of(model, ids, lengths)
        loss = functional.cross_entropy(logits, labels[task])
        tensors |= {f"{task}.logits": logits, f"{task}.loss": loss[None], f"{task}.labels": labels[task]}
        if task == learning:
            loss.backward()
            tensors |= {f"grad.{key}": value.grad for key, value in model.named_parameters()}
    return tensors


def save_expected(tensors, path, learning):
    tensors = {key: value.detach().contiguous() for key, value in tensors.items()}
    tensors = {key: value.float() if value.is_floating_point() else value.int() for key, value in tensors.items()}
    save_file(tensors, path, {"versions": json.dumps(VERSIONS), "gradients": learning})


def main(out, *names):
    theirs = {}
    wanted = [(seed, name) for seed, name in enumerate(MODELS) if not names or name in names]
    places = {name: out / ("neox" if name in NEOX else "llama") / name for name in MODELS}
    for seed, name in wanted:
        torch.manual_seed(seed)
        shutil.rmtree(places[name], ignore_errors=True)
        base = places[name] / "base"
        write_base(name, MODELS[name][0], base)
        ids, lengths, labels = batch()
        theirs[name] = [logits_of(kind.from_pretrained(base), ids, lengths) for kind in KINDS.values()]
    exact(LlamaRMSNorm)
    exact(Qwen2RMSNorm)
    for seed, name in wanted:
        _, learning, task = MODELS[name]
        base = places[name] / "base"
        expected = whole_model(base, learning, ids, lengths, labels)
        for one, rounded in zip(KINDS, theirs[name]):
            want = expected[f"{one}.logits"]
            error = ((rounded - want).norm() / want.norm()).item()
            print(f"{name} {one}: transformers in float32 is {error:.1e} from it")
            assert error < 2e-6
        save_expected(expected, base / "expect.safetensors", learning)
        adapters = {"lora": dict(SETTINGS, target_modules=NEOX_TARGETS if name in NEOX else LLAMA_TARGETS)}
        if name == "llama":
            adapters["dora"] = dict(SETTINGS, target_modules=PARTIAL_TARGETS, use_dora=True)
        for form, settings in adapters.items():
            adapter = places[name] / form
            model = adapted(KINDS[task].from_pretrained(base, dtype=torch.float32), settings, seed, task)
            model.save_pretrained(adapter)
            (adapter / "README.md").unlink()
            saved = load_file(adapter / "adapter_model.safetensors").keys()
            expect(model.double().train(), saved, ids, lengths, labels[task], adapter / "expect.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
