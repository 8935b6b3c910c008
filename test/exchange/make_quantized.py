"""Models that bitsandbytes quantised and transformers saved, QLoRA adapters on them, and what PyTorch makes of both.

python test/exchange/make_quantized.py OUT [SEED]: the same versions and seed write the same values. With seed 0 it is test/golden/bitsandbytes.
"""
import hashlib
import json
import shutil
import sys
from pathlib import Path

import bitsandbytes
import torch
import transformers
from bitsandbytes import functional
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from common import VERSIONS, adapted
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GPT2Config, LlamaConfig, Qwen2Config

transformers.utils.logging.disable_progress_bar()
ALL = dict(vocab_size=17, bos_token_id=0, eos_token_id=0, initializer_range=0.2)
SIZES = dict(ALL, n_positions=8, n_layer=1, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)
LLAMA = dict(ALL, max_position_embeddings=8, num_hidden_layers=1, hidden_size=64, num_attention_heads=4, num_key_value_heads=2,
             intermediate_size=64, tie_word_embeddings=True)
NF4 = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4")
CASES = {
    # Blocks that cross rows, and a last one that is no whole block.
    "nf4": (GPT2Config(**SIZES, n_embd=36, n_head=3, n_inner=44), NF4),
    # More than 256 blocks in a matrix.
    "nf4-double": (GPT2Config(**SIZES, n_embd=64, n_head=4, n_inner=320), dict(NF4, bnb_4bit_use_double_quant=True)),
    "int8": (GPT2Config(**SIZES, n_embd=64, n_head=4, n_inner=64), dict(load_in_8bit=True)),
    "llama-nf4": (LlamaConfig(**LLAMA), dict(NF4, bnb_4bit_use_double_quant=True)),
    "qwen2-int8": (Qwen2Config(**LLAMA), dict(load_in_8bit=True)),
}
# A matrix of ours in a block, and what it is of a Llama-type model.
OURS = {"attn.c_attn": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], "attn.c_proj": ["self_attn.o_proj"],
        "mlp.c_fc": ["mlp.gate_proj", "mlp.up_proj"], "mlp.c_proj": ["mlp.down_proj"]}
# A GPU takes the blocks where they are. On a CPU with AVX-512, bitsandbytes 0.50.2 takes others where they cross rows;
# and int8 rounds activations.
THEIRS = {"nf4-double": 1e-5, "int8": 0.1, "llama-nf4": 1e-5, "qwen2-int8": 0.1}


def dequantized(weight):
    """The matrix, [out, in], in float32."""
    if isinstance(weight, bitsandbytes.nn.Int8Params):
        return functional.int8_vectorwise_dequant(weight.data, weight.SCB)
    state = weight.quant_state
    absmax = state.absmax
    if state.nested:
        absmax = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    whole = _dequantize_4bit_compute(weight.data.flatten(), absmax, state.code, state.blocksize, state.shape, torch.float32)
    if state.shape[1] % state.blocksize == 0:
        assert torch.equal(whole, functional.dequantize_4bit(weight.data, state))
    return whole


def ours(matrices):
    """By our names, [out, in]."""
    if "transformer.h.0.attn.c_attn.weight" in matrices:
        return {key.removeprefix("transformer."): value for key, value in matrices.items()}
    join = lambda names: torch.cat([matrices[f"model.layers.0.{name}.weight"] for name in names])
    return {f"h.0.{name}.weight": join(theirs) for name, theirs in OURS.items()}


def compute(model, ids):
    """Logits, loss, and the gradients of what learns by the keys of PEFT's file."""
    logits = model(input_ids=ids).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    short = lambda tensor: [float(f"{x:.8g}") for x in tensor.flatten().tolist()]
    grads = {name.replace(".default", ""): short(value.grad) for name, value in model.named_parameters() if value.requires_grad}
    return dict(logits=short(logits), loss=loss.item(), grads=grads)


def save(model, directory):
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    for name in ("generation_config.json", "README.md"):
        (directory / name).unlink(missing_ok=True)


def make(out, seed):
    cases = {}
    for name, (config, settings) in CASES.items():
        torch.manual_seed(seed := seed + 1)
        directory, adapter = out / name, out / f"{name}-adapter"
        plain = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():                         # no bias is 0, no norm 1
            for parameter in plain.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        save(plain, directory)
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, quantization_config=BitsAndBytesConfig(**settings))
        save(model, directory)
        matrices = {key: dequantized(value) for key, value in model.named_parameters() if hasattr(value, "quant_state") or hasattr(value, "SCB")}
        is_gpt2 = config.model_type == "gpt2"
        # GPT-2 has them [in, out].
        plain.load_state_dict({key: value.T if is_gpt2 else value for key, value in matrices.items()}, strict=False)
        ids = torch.randint(0, 17, (3, 7))
        lora = dict(r=1, lora_alpha=3, target_modules=["c_attn", "mlp.c_proj"] if is_gpt2 else ["k_proj", "down_proj"])
        qlora = adapted(model, lora, seed, task="CAUSAL_LM").train()
        save(qlora, adapter)
        found = compute(PeftModel.from_pretrained(plain, adapter, is_trainable=True).double(), ids)
        if name in THEIRS:
            want = torch.tensor(found["logits"])
            error = (qlora(input_ids=ids).logits.flatten() - want).norm() / want.norm()
            assert error < THEIRS[name], (name, error)
        sha256 = {key: hashlib.sha256(value.T.contiguous().numpy().tobytes()).hexdigest() for key, value in ours(matrices).items()}
        cases[name] = dict(sha256=sha256, ids=ids.tolist(), **found)
    versions = {**VERSIONS, "bitsandbytes": bitsandbytes.__version__}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
    (out / "expect.json").write_text(f'{{"versions": {json.dumps(versions)}, "cases": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
