"""Measures the Python package tiktoken (native Rust), or with a model tokenizers, as src/bench/worker.ts does for the others. Argument: the job's path."""
import array, base64, hashlib, json, resource, sys, time

job = json.load(open(sys.argv[1], encoding="utf8"))


def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def timed(run):
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


before = peak()
started = time.perf_counter()

if job.get("model"):
    import tokenizers

    name, version = "tokenizers", tokenizers.__version__
    tokenizer = tokenizers.Tokenizer.from_file(job["model"] + "/tokenizer.json")
    # The file may say so; here as little is cut or filled as by the others.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encode = lambda text: tokenizer.encode(text).ids
    decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=False)
else:
    import tiktoken

    name, version = "tiktoken", tiktoken.__version__
    lines = open(job["folder"] + "/gpt2.tiktoken", "rb").read().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    encoder = tiktoken.Encoding(
        "gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": len(ranks)}
    )
    encode, decode = encoder.encode_ordinary, encoder.decode
encode("Hello, world!")
init = 1000 * (time.perf_counter() - started)

texts = job["texts"]
found = []


def repeat(run):
    end = time.perf_counter() + job["seconds"]
    times = []
    while len(times) < job["least"] or (len(times) < job["most"] and time.perf_counter() < end):
        times.append(timed(run))
    return times


measured = dict(
    version=f"{name} {version}",
    init=init,
    first=timed(lambda: found.extend(encode(text) for text in texts)),
    warm=repeat(lambda: [encode(text) for text in texts]),
    decode=repeat(lambda: [decode(ids) for ids in found]),
    ids=[hashlib.sha1(array.array("I", ids).tobytes()).hexdigest() for ids in found],
    decoded=sum(decode(ids) == text for ids, text in zip(found, texts)),
    peak=peak() - before,
)
print(json.dumps(measured), flush=True)
