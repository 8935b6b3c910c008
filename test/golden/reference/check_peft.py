"""The reference beside PEFT and transformers, in float64: `python3 check_peft.py` compares logits, gradients and steps of
prompt tuning, prefix tuning (with a projection and without), LoRA+, LoRA with dropout or of the token table, DoRA, and the
losses of transformers' problem_type.  Needs peft; PEFT 0.21 runs prefix tuning on
GPT2ForSequenceClassification with transformers below 5.24, which renames an argument."""
import sys
import warnings

import peft
import torch
import transformers
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, TaskType, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

import gpt2_lora_reference as ref
from make_fixtures import random_case, rel

warnings.simplefilter("ignore")
VIRTUAL = {"prompt.weight": "embedding.weight", "prefix.weight": "embedding.weight", "prefix.embedding": "embedding.weight",
           "prefix.fc.weight": "transform.0.weight", "prefix.fc.bias": "transform.0.bias",
           "prefix.proj.weight": "transform.2.weight", "prefix.proj.bias": "transform.2.bias"}
LORA = {"o": "attn.c_proj", "fc": "mlp.c_fc", "proj": "mlp.c_proj"}


def base_model(P, case):
    """The base model of a case by transformers; its classification head gets a bias, as ours has."""
    cfg = case["config"]
    pad = cfg["vocab_size"] - 1
    config = GPT2Config(**cfg, num_labels=case["num_labels"], pad_token_id=pad, bos_token_id=pad, eos_token_id=pad,
                        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    lm = case["objective"] == "lm"
    config.problem_type = {"regression": "regression", "multi-label": "multi_label_classification"}.get(case["objective"])
    model = (GPT2LMHeadModel if lm else GPT2ForSequenceClassification)(config)
    state = {"transformer." + k: P[k] for k in ref.base_shapes(ref.Config(**cfg))}
    if lm:
        state["lm_head.weight"] = P["wte.weight"]
    else:
        model.score = torch.nn.Linear(cfg["n_embd"], case["num_labels"])
        state.update({"score.weight": P["head.weight"], "score.bias": P["head.bias"]})
    model.load_state_dict(state)
    return model.double(), TaskType.CAUSAL_LM if lm else TaskType.SEQ_CLS


def theirs(name, model):
    """PEFT's parameter that is ours of this name, and whether it is transposed."""
    parameters = dict(model.named_parameters())
    if name.endswith(".magnitude"):
        return parameters[f"base_model.model.transformer.{name[5:-10]}.lora_magnitude_vector.default.weight"], False
    if name.startswith("lora.wte."):
        return parameters[f"base_model.model.transformer.wte.lora_embedding_{name[-1]}.default"], name[-1] == "A"
    if name.startswith("lora."):
        _, h, i, *site, matrix = name.split(".")
        place = LORA[site[-1]]
        return parameters[f"base_model.model.transformer.h.{i}.{place}.lora_{matrix}.default.weight"], False
    if name.startswith("head."):
        key = next(k for k in parameters if k.endswith("score.modules_to_save.default." + name[5:]))
        return parameters[key], False
    return parameters["prompt_encoder.default." + VIRTUAL[name]], name in ("prefix.fc.weight", "prefix.proj.weight")


def copy(P, names, model):
    model.double()
    for name in names:
        parameter, transposed = theirs(name, model)
        parameter.data = (P[name].T if transposed else P[name]).double().clone()
    learning = [p for p in model.parameters() if p.requires_grad]
    assert len(learning) == len(names), (len(learning), names)


def logits_of(model, case, ids, lengths):
    """A batch padded on the right under an attention mask; prompt tuning of a classifier one message at a time, because PEFT
    reads its logits at the last column of the batch.  Rows of padding are left out."""
    if case["objective"] != "lm" and case["mode"] == "prompt":
        return torch.cat([model(input_ids=row[None, :n]).logits for row, n in zip(ids, lengths)])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    logits = model(input_ids=ids, attention_mask=mask).logits
    return logits if case["objective"] != "lm" else logits[:, -ids.shape[1]:][mask.bool()]


def virtual(mode, objective, projection):
    method = {"num_virtual_tokens": 3, **({"encoder_hidden_size": 5} if projection else {})}
    case, P, (ids, targets, lengths) = random_case(mode=mode, objective=objective, method=method, position="last_token",
                                                   num_labels=3, lengths=[5, 1])
    run = ref.Trainer(P, case)
    ours, loss, grads = run.gradients(ids, targets, lengths)
    model, task = base_model(P, case)
    if mode == "prompt":
        settings = PromptTuningConfig(task_type=task, num_virtual_tokens=3)
    else:
        more = dict(prefix_projection=True, encoder_hidden_size=5) if projection else {}
        settings = PrefixTuningConfig(task_type=task, num_virtual_tokens=3, **more)
    model = get_peft_model(model, settings)
    copy(P, run.names, model)
    logits = logits_of(model, case, ids, lengths)
    if objective == "lm":
        real = torch.arange(ids.shape[1]) < lengths[:, None]
        ours, targets = ours[real], targets[real]
    ref.cross_entropy(logits, targets).backward()
    errors = {"logits": rel(logits.detach(), ours)}
    for name in run.names:
        parameter, transposed = theirs(name, model)
        errors[name] = rel(parameter.grad.T if transposed else parameter.grad, grads[name])
    return errors


def lora_plus():
    """Steps with PEFT's groups.  PEFT gives one-dimensional tensors (the head's bias) B's rate, and no decay: here the
    classifier's head has none."""
    lora = {"targets": list(LORA), "r": 3, "alpha": 5, "scaling": "alpha/r", "train_head_base": True}
    optim = {"lr": 1e-3, "weight_decay": 0.1, "lr_ratio": 16}
    case, P, (ids, targets, lengths) = random_case(mode="lora", lora=lora, position="last_token", num_labels=3, optim=optim)
    P["head.bias"].zero_()
    run = ref.Trainer(P, case)
    run.names.remove("head.bias")
    del run.optim.tensors["head.bias"]
    model, task = base_model(P, case)
    model.score.bias = None
    model = get_peft_model(model, LoraConfig(task_type=task, r=3, lora_alpha=5, target_modules=list(LORA.values())))
    copy(P, run.names, model)
    optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16, loraplus_weight_decay=0.1)
    for _ in range(5):
        run.step(ids, targets, lengths)
        optimizer.zero_grad()
        ref.cross_entropy(logits_of(model, case, ids, lengths), targets).backward()
        optimizer.step()
    return {name: rel(theirs(name, model)[0].detach() - P[name], run.P[name] - P[name]) for name in run.names}


class Masks(torch.nn.Module):
    """The reference's dropout of one module, in place of PEFT's."""

    def __init__(self, drop, site):
        super().__init__()
        self.drop, self.site = drop, site

    def forward(self, x):
        return self.drop(self.site, x)


def lora_dropout():
    """Where PEFT drops, and by how much it scales: with our masks, which are other random numbers than PyTorch's."""
    lora = {"targets": list(LORA), "r": 3, "alpha": 5, "scaling": "alpha/r", "train_head_base": True,
            "dropout": {"p": 0.25, "seed": 7}}
    case, P, (ids, targets, lengths) = random_case(mode="lora", lora=lora, position="last_token", num_labels=3)
    run = ref.Trainer(P, case)
    ours, _, grads = run.gradients(ids, targets, lengths)
    model, task = base_model(P, case)
    settings = LoraConfig(task_type=task, r=3, lora_alpha=5, lora_dropout=0.25, target_modules=list(LORA.values()))
    model = get_peft_model(model, settings)
    copy(P, run.names, model)
    for i in range(case["config"]["n_layer"]):
        for target, place in LORA.items():
            layer = model.get_submodule(f"base_model.model.transformer.h.{i}.{place}")
            assert layer.lora_dropout["default"].p == 0.25
            layer.lora_dropout["default"] = Masks(run.drop, f"h.{i}.{ref.SITE[target]}")
    logits = logits_of(model, case, ids, lengths)
    ref.cross_entropy(logits, targets).backward()
    errors = {name: rel(theirs(name, model)[0].grad, grads[name]) for name in run.names}
    return {"logits": rel(logits.detach(), ours), **errors}


def steps(objective, more, **settings):
    """Logits, gradients and ten steps with the adapters of LORA, the targets `more` and PEFT's settings."""
    lora = {"targets": [*LORA, *more], "r": 3, "alpha": 5, "scaling": "alpha/r", "train_head_base": objective != "lm",
            "dora": settings.get("use_dora", False)}
    case, P, (ids, targets, lengths) = random_case(mode="lora", objective=objective, lora=lora, position="last_token", num_labels=3,
                                                   optim={"lr": 1e-3, "weight_decay": 0.1})
    run = ref.Trainer(P, case)
    model, task = base_model(P, case)
    model = get_peft_model(model, LoraConfig(task_type=task, r=3, lora_alpha=5, target_modules=[*LORA.values(), *more], **settings))
    copy(P, run.names, model)

    def own(name, value):
        parameter, transposed = theirs(name, model)
        return value(parameter).T if transposed else value(parameter)

    real = torch.arange(ids.shape[1]) < lengths[:, None] if objective == "lm" else slice(None)
    loss = lambda: ref.cross_entropy(logits_of(model, case, ids, lengths), targets[real])
    ours, _, grads = run.gradients(ids, targets, lengths)
    errors = {"logits": rel(logits_of(model, case, ids, lengths).detach(), ours[real])}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3, weight_decay=0.1)
    for step in range(10):
        optimizer.zero_grad()
        loss().backward()
        if step == 0:
            errors.update({f"gradient of {name}": rel(own(name, lambda p: p.grad), grads[name]) for name in run.names})
        run.step(ids, targets, lengths)
        optimizer.step()
    return {**errors, **{name: rel(own(name, torch.Tensor.detach) - P[name], run.P[name] - P[name]) for name in run.names}}


def problem_type(objective, labels):
    """The loss that transformers computes by itself, logits, gradients and ten steps."""
    lora = {"targets": list(LORA), "r": 3, "alpha": 5, "scaling": "alpha/r", "train_head_base": True}
    case, P, (ids, targets, lengths) = random_case(mode="lora", objective=objective, lora=lora, position="last_token",
                                                   num_labels=labels, optim={"lr": 1e-3, "weight_decay": 0.1})
    run = ref.Trainer(P, case)
    model, task = base_model(P, case)
    model = get_peft_model(model, LoraConfig(task_type=task, r=3, lora_alpha=5, target_modules=list(LORA.values())))
    copy(P, run.names, model)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3, weight_decay=0.1)
    ours, loss, grads = run.gradients(ids, targets, lengths)
    errors = {}
    for step in range(10):
        optimizer.zero_grad()
        out = model(input_ids=ids, attention_mask=mask, labels=targets.double())
        out.loss.backward()
        if step == 0:
            errors = {"logits": rel(out.logits.detach(), ours), "loss": abs(out.loss.item() / loss - 1)}
            errors.update({f"gradient of {name}": rel(theirs(name, model)[0].grad, grads[name]) for name in run.names})
        run.step(ids, targets, lengths)
        optimizer.step()
    return {**errors, **{name: rel(theirs(name, model)[0].detach() - P[name], run.P[name] - P[name]) for name in run.names}}


if __name__ == "__main__":
    print(f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    checks = {f"{objective} {mode}{', projection' if p else ''}": lambda a=(mode, objective, p): virtual(*a)
              for objective in ("classification", "lm") for mode, p in (("prompt", 0), ("prefix", 0), ("prefix", 1))}
    worst = 0.0
    checks |= {"LoRA+, 5 steps": lora_plus, "LoRA with dropout": lora_dropout}
    checks |= {f"{objective} DoRA, 10 steps": lambda a=objective: steps(a, [], use_dora=True) for objective in ("classification", "lm")}
    checks["LoRA of the token table, 10 steps"] = lambda: steps("classification", ["wte"])
    checks |= {f"{objective}, 10 steps": lambda a=(objective, labels): problem_type(*a)
               for objective, labels in (("regression", 1), ("multi-label", 3))}
    for title, check in checks.items():
        errors = check()
        print(f"{title}: " + "  ".join(f"{k} {v:.1e}" for k, v in errors.items()))
        worst = max(worst, *errors.values())
    sys.exit(0 if worst < 1e-6 else "the reference and PEFT differ")
