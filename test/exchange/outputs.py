"""Regressions and several labels a message: `prepare DIR MODEL`, then `score DIR`. See outputs.mjs."""
import json
import os
import shutil
import sys

import torch
from common import messages
from exchange import logits_of, tokenizer_of, write
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, pipeline

TASKS = {"regression": 1, "multi_label_classification": 3}


def base_of(path, problem_type):
    labels = TASKS[problem_type]
    return AutoModelForSequenceClassification.from_pretrained(
        path, dtype=torch.float32, num_labels=labels, problem_type=problem_type, pad_token_id=tokenizer_of(path, 256).eos_token_id
    )


def targets(problem_type, count):
    """Made up: what matters is the loss that transformers computes by itself."""
    torch.manual_seed(1)
    shape = (count, TASKS[problem_type])
    return torch.randn(count) if problem_type == "regression" else torch.randint(0, 2, shape).float()


def loss_of(model, tokenizer, texts, labels):
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return model(**batch, labels=labels).loss


def prepare(folder, micro):
    """Adapters that PEFT trains with the losses of transformers, with their logits and losses. The base model's config.json
    says what its head is for."""
    texts = [text for text, _ in messages(24)]
    tokenizer = tokenizer_of(micro, 256)
    jobs = []
    for problem_type in TASKS:
        base = os.path.join(folder, f"base-{problem_type}")
        shutil.copytree(micro, base)
        path = os.path.join(base, "config.json")
        with open(path) as file:
            config = json.load(file)
        write(path, {**config, "problem_type": problem_type})
        torch.manual_seed(2)
        model = get_peft_model(base_of(micro, problem_type), LoraConfig(task_type=TaskType.SEQ_CLS, r=4, target_modules=["c_attn", "c_fc"]))
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
        labels = targets(problem_type, len(texts))
        for _ in range(5):
            loss_of(model.train(), tokenizer, texts, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        place = os.path.join(folder, f"peft-{problem_type}")
        model.save_pretrained(place)
        with torch.no_grad():
            loss = loss_of(model.eval(), tokenizer, texts, labels).item()
        jobs.append({"name": problem_type, "base": base, "directory": place, "logits": logits_of(model, tokenizer, texts),
                     "labels": labels.reshape(len(texts), -1).tolist(), "loss": loss})
    write(os.path.join(folder, "outputs-from-peft.json"), {"texts": texts, "jobs": jobs})


def score(folder):
    """Loads what Lowrank exported, and compares logits, losses, and what a pipeline gives."""
    with open(os.path.join(folder, "outputs-to-peft.json")) as file:
        work = json.load(file)
    bad = 0
    for job in work["jobs"]:
        merged = job["form"] == "merged"
        model = AutoModelForSequenceClassification.from_pretrained(job["directory"]) if merged else PeftModel.from_pretrained(
            base_of(job["base"], job["problem_type"]), job["directory"])
        assert model.config.problem_type == job["problem_type"] and model.config.num_labels == len(job["labels"][0])
        tokenizer = tokenizer_of(job["directory"] if merged else job["base"], 256)
        theirs = torch.tensor(logits_of(model, tokenizer, work["texts"]), dtype=torch.float64)
        ours = torch.tensor(job["logits"], dtype=torch.float64)
        labels = torch.tensor(job["labels"], dtype=torch.float32)
        with torch.no_grad():
            loss = loss_of(model.eval(), tokenizer, work["texts"], labels.squeeze(1) if labels.shape[1] == 1 else labels).item()
        errors = {"logits": ((theirs - ours).norm() / ours.norm()).item(), "loss": abs(loss / job["loss"] - 1)}
        if merged and labels.shape[1] == 1:
            run = pipeline("text-classification", model=job["directory"], function_to_apply="none")
            found = torch.tensor([run(text)[0]["score"] for text in work["texts"][:3]], dtype=torch.float64)
            errors["pipeline"] = (found - ours[:3, 0]).abs().max().item()
        good = max(errors.values()) <= 1e-4
        print(f"{'ok  ' if good else 'FAIL'} {job['problem_type']} -> {job['form']}: " + ", ".join(f"{k} {v:.1e}" for k, v in errors.items()))
        bad += not good
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    {"prepare": prepare, "score": score}[sys.argv[1]](*sys.argv[2:])
