"""Random settings of names, and what PEFT's own matching says to them: names.py FILE COUNT SEED."""
import json
import random
import re
import signal
import sys
import warnings
from types import SimpleNamespace

from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

warnings.simplefilter("ignore")
KINDS = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
LLAMA_KINDS = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
# By the type of model.
NAMES = {
    "gpt2": [f"transformer.h.{layer}.{kind}" for layer in range(12) for kind in KINDS] + ["score"],
    "llama": [f"model.layers.{layer}.{kind}" for layer in range(12) for kind in LLAMA_KINDS] + ["score"],
}
WORDS = ["c_attn", "attn", "c_proj", "mlp", "c_fc", "transformer", "h", "score", "1", "11", "5", "0", "c_", "attn.c_attn"]
WORDS += ["q_proj", "self_attn", "layers", "mlp.gate_proj", "model.layers.5.mlp.up_proj", "layers.1"]
WORDS += ["h.1", "transformer.h.3.mlp.c_fc", "^transformer.h.3.mlp.c_fc", "^h.1", "", "x"]
SIGNS = r". \. \d \w \W [a-z_] [^.] [0-5] (?:a|c) []x] [a\-c] ^ $ \A \Z \b \B .* \d+ .*? [\w.]+ (?: ( | ) ? * + {2} {,2}".split()
SIGNS += r"{1,} ?? *? *+ (?=a) \1 (?P<n>a) (?i) \D { } [^\d] \S A".split()
ATOMS = [".", r"\d", r"\w", ".*", "[a-z_]", ".*?", r"\d+", "[^.]*", r"\."]
COUNTS = ["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?", "??", "{,3}?"]
NOTHING = {"exclude_modules": None, "modules_to_save": None, "layers_to_transform": None, "layers_pattern": None}
NOTHING |= {"rank_pattern": {}, "target_parameters": None}


class Slow(Exception):
    pass


def stop(*_):
    raise Slow


def signs(rnd):
    """Signs one behind the other: often no expression at all."""
    return "".join(rnd.choice(WORDS if rnd.random() < 0.5 else SIGNS) for _ in range(rnd.randint(1, 6)))


def tree(rnd, depth=0):
    """An expression that is one."""
    kind = rnd.random()
    if depth > 3 or kind < 0.35:
        return re.escape(rnd.choice(WORDS)) if rnd.random() < 0.5 else rnd.choice(WORDS + ATOMS)
    if kind < 0.6:
        return tree(rnd, depth + 1) + tree(rnd, depth + 1)
    if kind < 0.75:
        options = "|".join(tree(rnd, depth + 1) for _ in range(rnd.randint(1, 3)))
        return rnd.choice(["(", "(?:"]) + options + ")"
    if kind < 0.9:
        return "(?:" + tree(rnd, depth + 1) + ")" + rnd.choice(COUNTS)
    return rnd.choice([".*\\.", ".*", "^", ""]) + tree(rnd, depth + 1)


def settings(rnd, model):
    pattern = lambda: tree(rnd) if rnd.random() < 0.7 else signs(rnd)
    patterns = lambda: [pattern() for _ in range(rnd.randint(1, 2))]
    names = lambda: [rnd.choice(WORDS + NAMES[model]) for _ in range(rnd.randint(1, 3))]
    found = {"target_modules": pattern() if rnd.random() < 0.35 else names()}
    if rnd.random() < 0.3:
        found["exclude_modules"] = pattern() if rnd.random() < 0.5 else names()
    if rnd.random() < 0.3:
        found["modules_to_save"] = patterns()
    if isinstance(found["target_modules"], list) and rnd.random() < 0.4:
        found["layers_to_transform"] = rnd.choice([1, [0, 5, 11], [3], []])
        if rnd.random() < 0.7:
            found["layers_pattern"] = rnd.choice([pattern(), patterns(), "h" if model == "gpt2" else "layers", "", []])
    if rnd.random() < 0.5:
        found["rank_pattern"] = {pattern(): i + 1 for i in range(rnd.randint(1, 3))}
    return found


def answer(found, model):
    """[name, rank] of every module with an adapter, as LoraModel finds them; "error", or "slow" after a second."""
    config = SimpleNamespace(**(NOTHING | found))
    for key in ("target_modules", "exclude_modules"):
        if isinstance(getattr(config, key), list):
            setattr(config, key, set(getattr(config, key)))
    config.modules_to_save = (config.modules_to_save or []) + ["classifier", "score"]
    ranks = config.rank_pattern
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        hits = [name for name in NAMES[model] if check_target_module_exists(config, name)]
        return [[name, ranks.get(get_pattern_key(ranks.keys(), name), 8)] for name in hits]
    except (re.error, OverflowError, RecursionError):
        return "error"
    except Slow:
        return "slow"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    file, count, seed = sys.argv[1:]
    signal.signal(signal.SIGALRM, stop)
    source = random.Random(int(seed))
    every = [(model, settings(source, model)) for model in NAMES for _ in range(int(count) // len(NAMES))]
    with open(file, "w") as out:
        json.dump([[model, one, answer(one, model)] for model, one in every], out)
