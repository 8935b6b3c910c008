# Opens an export by the code of its model card, without the network. The argument is the job in JSON. Prints lines of
# JSON: {"versions": {library: version}}, then {"labels": [...], "values": [[...] for each text]}: logits, or a language
# model's loss. {"missing": module} instead, where Python lacks one.
import contextlib
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
job = json.loads(sys.argv[1])


def tell(value):
    print(json.dumps(value), flush=True)


@contextlib.contextmanager
def telling_missing():
    try:
        yield
    except ImportError as error:
        tell({"missing": error.name or str(error)})
        sys.exit()


def measure(text):
    if "begin" in job:
        ids = torch.tensor([[job["begin"], *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        targets = ids[0, 1:]
        logits = model(input_ids=ids[:, :-1], attention_mask=torch.ones_like(ids[:, :-1])).logits[0]
        # A prompt's virtual tokens come first.
        return [torch.nn.functional.cross_entropy(logits[-len(targets) :], targets).item()]
    parts = [text] if isinstance(text, str) else text
    batch = tokenizer(*([part] for part in parts), truncation=True, max_length=job["length"], return_tensors="pt")
    return model(**batch).logits[0].tolist()


with telling_missing():
    versions = {name: __import__(name).__version__ for name in job["libraries"]}
tell({"versions": versions})
os.chdir(job["directory"])
scope = {}
with telling_missing(), contextlib.redirect_stdout(sys.stderr):
    exec(job["code"], scope)
import torch

tokenizer, model = scope["tokenizer"], scope["model"].eval()
with torch.no_grad():
    values = [measure(text) for text in job["texts"]]
tell({"labels": [] if "begin" in job else list(model.config.id2label.values()), "values": values})
