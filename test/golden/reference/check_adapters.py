"""The reference's adapter layers beside those of the library `adapters` (DoubleSeqBnConfig, Houlsby's), in float64:
`python3 check_adapters.py` compares logits and gradients.  Needs adapters, in an environment of its own: it wants an older
transformers than PEFT."""
import sys

import adapters
import torch
import transformers
from adapters import DoubleSeqBnConfig
from transformers import GPT2Config, GPT2LMHeadModel

import gpt2_lora_reference as ref
from make_fixtures import random_case, rel

WIDTH = 4


def theirs(name):
    """The end of the library's name of a tensor."""
    _, i, part, _, way, kind = name.split(".")
    way = {"down": "down.0", "up": "up"}[way]
    place = {"attn": "attention_adapters", "mlp": "output_adapters"}[part]
    return f"h.{i}.{place}.adapters.ours.adapter_{way}.{kind}"


if __name__ == "__main__":
    print(f"adapters {adapters.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    case, P, (ids, targets, lengths) = random_case(mode="adapter", objective="lm", method={"bottleneck": WIDTH})
    run = ref.Trainer(P, case)
    ours, _, grads = run.gradients(ids, targets, lengths)
    model = GPT2LMHeadModel(GPT2Config(**case["config"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))
    base = {"transformer." + k: P[k] for k in ref.base_shapes(ref.Config(**case["config"]))}
    model.load_state_dict({**base, "lm_head.weight": P["wte.weight"]})
    adapters.init(model)
    width = case["config"]["n_embd"]
    model.add_adapter("ours", config=DoubleSeqBnConfig(reduction_factor=width / WIDTH, non_linearity="gelu_new"))
    model.train_adapter("ours")
    model.double()
    learning = {k: p for k, p in model.named_parameters() if p.requires_grad}
    assert len(learning) == len(run.names)
    found = {name: next(p for k, p in learning.items() if k.endswith(theirs(name))) for name in run.names}
    for name, parameter in found.items():
        parameter.data = P[name].double().T.clone()                   # theirs are nn.Linear's; .T of a vector is itself
    logits = model(input_ids=ids).logits
    ref.cross_entropy(logits, targets).backward()
    errors = {"logits": rel(logits.detach(), ours)}
    errors.update({name: rel(parameter.grad.T, grads[name]) for name, parameter in found.items()})
    print("  ".join(f"{k} {v:.1e}" for k, v in errors.items()))
    sys.exit(0 if max(errors.values()) < 1e-6 else "the reference and the library differ")
