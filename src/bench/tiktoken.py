"""Measures the Python package tiktoken (native Rust), as src/bench/worker.ts does for the others. Argument: the job's path."""
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
import tiktoken

lines = open(job["folder"] + "/gpt2.tiktoken", "rb").read().splitlines()
ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
encoder = tiktoken.Encoding(
    "gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": len(ranks)}
)
encoder.encode_ordinary("Hello, world!")
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
    version=tiktoken.__version__,
    init=init,
    first=timed(lambda: found.extend(encoder.encode_ordinary(text) for text in texts)),
    warm=repeat(lambda: [encoder.encode_ordinary(text) for text in texts]),
    decode=repeat(lambda: [encoder.decode(ids) for ids in found]),
    ids=[hashlib.sha1(array.array("I", ids).tobytes()).hexdigest() for ids in found],
    decoded=sum(encoder.decode(ids) == text for ids, text in zip(found, texts)),
    peak=peak() - before,
)
print(json.dumps(measured), flush=True)
