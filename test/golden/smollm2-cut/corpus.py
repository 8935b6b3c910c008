"""The texts that the small base is healed with: openly licensed, from clones of public repositories.

    python3 corpus.py CLONES OUT.jsonl

CLONES holds a clone (bare or not) of each repository of SOURCES as OWNER+NAME, at the commit given there. OUT.jsonl gets one
text a line: {"source", "text", "held"}; one text in a hundred is held out, chosen by its hash, never trained on.
"""
import csv, hashlib, html, io, json, re, subprocess, sys, zipfile
from pathlib import Path
from xml.etree import ElementTree

OPENSTAX = ["introduction-business", "college-success", "introduction-anthropology", "psychology", "introduction-sociology",
            "american-government", "us-history", "principles-marketing", "writing-guide", "introduction-philosophy",
            "world-history", "introduction-political-science"]
LANGUAGES = ["de", "es", "it", "nl", "pl", "pt", "sv-SE", "tr"]
LONGEST = 4000  # characters of one text
# The share of each group of sources in the sequences that heal.py draws.
SHARES = {"openstax": .20, "digitalgov": .10, "18f": .04, "gutenberg": .14, "common": .06, "tatoeba_english": .08, "tatoeba_french": .01,
          "foreign": .04, "persona": .08, "topical": .12, "taskmaster": .02, "clinc150": .05, "banking77": .04}


def group(source):
    if source.startswith("common_voice_"):
        return "foreign"
    return source if source.startswith("tatoeba") else source.split("_")[0]


def git(clone, *words):
    return subprocess.run(["git", "-c", "safe.directory=*", "-C", str(clone), *words], check=True, capture_output=True).stdout


def files(clone, pattern):
    for line in git(clone, "ls-tree", "-r", "-z", "--name-only", "HEAD").split(b"\0"):
        name = line.decode("utf-8", "replace")
        if re.fullmatch(pattern, name):
            try:
                yield name, git(clone, "show", "HEAD:" + name).decode("utf-8", "replace")
            except subprocess.CalledProcessError:
                pass  # a file that the stored copy lacks


def plain(text):
    for bad, good in (("\u2018", "'"), ("\u2019", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u2013", "-"), ("\u2014", " - "), ("\u00a0", " "), ("\r", "")):
        text = text.replace(bad, good)
    return re.sub(r"[ \t]+", " ", text).strip()


def pieces(paragraphs, longest=LONGEST):
    """Whole paragraphs together, up to `longest` characters."""
    out, size = [], 0
    for p in paragraphs:
        p = plain(p)
        if not p:
            continue
        if out and size + len(p) > longest:
            yield "\n\n".join(out)
            out, size = [], 0
        out.append(p[:2 * longest])
        size += len(p) + 2
    if out:
        yield "\n\n".join(out)


def openstax(clone):
    for _, text in files(clone, r"modules/m\d+/index\.cnxml"):
        try:
            tree = ElementTree.fromstring(text)
        except ElementTree.ParseError:
            continue
        out = []
        for node in tree.iter():
            tag = node.tag.split("}")[-1]
            if tag in ("para", "title", "item"):
                if any(c.tag.split("}")[-1] in ("math", "table", "media") for c in node.iter()):
                    continue
                out.append(re.sub(r"\s+", " ", "".join(node.itertext())))
        yield from pieces(out)


def markdown(clone, pattern):
    for _, text in files(clone, pattern):
        text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
        text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{:.*?\}|<[^>]*>|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.S)
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
        text = re.sub(r"[*_`]{1,3}([^*_`\n]+)[*_`]{1,3}", r"\1", html.unescape(text))
        text = re.sub(r"^#+\s*", "", text, flags=re.M)
        yield from (p for p in pieces(text.split("\n\n")) if len(p) > 200)


def gutenberg(clone):
    authors = "Wodehouse|Twain|Wells|Doyle|London|Montgomery|Christie|Chesterton|Leinster|Piper|Dick, Philip|Nesbit|Wharton|Burnett|Barrie|Jerome"
    for name, text in files(clone, rf"({authors})[^/]*/[^/]*\.txt"):
        if int(hashlib.sha1(name.encode()).hexdigest(), 16) % 4:
            continue  # one book in four
        found = re.search(r"\*\*\* ?START OF.*?\*\*\*(.*?)\*\*\* ?END OF", text, flags=re.S)
        if not found or "COPYRIGHTED" in text[:2000]:
            continue
        body = re.sub(r"\n{3,}", "\n\n", found[1].replace("\r", ""))
        parts = [re.sub(r"\s+", " ", p).replace("_", "") for p in body.split("\n\n")][20:]
        yield from pieces(parts, 2000)


def lines(clone, pattern):
    seen = set()
    for _, text in files(clone, pattern):
        for line in text.split("\n"):
            line = plain(line)
            if len(line) > 20 and line not in seen:
                seen.add(line)
                yield line


def talk(turns, chat):
    """A conversation: every second one in ChatML, as the whole model was tuned with, the others line by line."""
    turns = [plain(t) for t in turns if plain(t)]
    if chat:
        return "".join(f"<|im_start|>{'assistant' if i % 2 else 'user'}\n{t}<|im_end|>\n" for i, t in enumerate(turns))
    return "\n".join(turns)


def conversations(all_turns):
    for i, turns in enumerate(all_turns):
        if len(turns) > 1:
            yield talk(turns, i % 2)


def persona(clone):
    for _, text in files(clone, r"data/Synthetic-Persona-Chat_(test|valid)\.csv"):
        for row in csv.reader(io.StringIO(text)):
            if len(row) >= 3 and ":" in row[2]:
                yield [re.sub(r"^User ?\d:\s*", "", t) for t in row[2].split("\n")]


def topical(clone):
    for _, text in files(clone, r"conversations/(valid|test)_(freq|rare)\.json"):
        for talk_ in json.loads(text).values():
            yield [t["message"] for t in talk_["content"]]


def taskmaster(clone):
    for _, text in files(clone, r"TM-4-2024/data/data_0[0-2]\.json|TM-2-2020/data/.*\.json|TM-1-2019/(self-dialogs|woz-dialogs)\.json"):
        for talk_ in json.loads(text):
            turns = []
            for u in talk_.get("utterances", []):
                who = u.get("speaker", "").lower()
                if turns and turns[-1][0] == who:
                    turns[-1][1] += " " + u["text"]
                else:
                    turns.append([who, u["text"]])
            yield [t for _, t in turns]


def clinc(clone):
    for _, text in files(clone, r"data/data_full\.json"):
        for part in json.loads(text).values():
            yield from (q for q, _ in part)


def banking(clone):
    for _, text in files(clone, r"banking_data/train\.csv"):
        for row in list(csv.reader(io.StringIO(text)))[1:]:
            yield plain(row[0])


def tatoeba(clone, column):
    seen = set()
    with zipfile.ZipFile(io.BytesIO(git(clone, "show", "HEAD:fra-eng.zip"))) as packed:
        for line in packed.read("fra.txt").decode().split("\n"):
            cells = line.split("\t")
            if len(cells) > 1 and cells[column] not in seen:
                seen.add(cells[column])
                yield plain(cells[column])


def grouped(sentences, n):
    """Some alone, some in groups: what people type is a sentence or a few."""
    out = []
    for i, s in enumerate(sentences):
        out.append(s)
        if len(out) > (i * 7919) % n:
            yield " ".join(out)
            out = []


def main():
    clones, target = Path(sys.argv[1]), sys.argv[2]
    at = lambda name: clones / name.replace("/", "+")
    sources = {f"openstax_{b}": openstax(at(f"openstax/osbooks-{b}")) for b in OPENSTAX}
    sources |= {
        "digitalgov": markdown(at("GSA/digitalgov.gov"), r"content/(news|resources|guides|events)/.*\.md"),
        "18f_blog": markdown(at("18F/18f.gsa.gov"), r"content/posts/.*\.md"),
        "gutenberg": gutenberg(at("rcdm-uga/Gutenberg_Text")),
        "common_voice": grouped(lines(at("mozilla/common-voice"), r"server/data/en/.*\.txt"), 4),
        "tatoeba_english": grouped(tatoeba(at("genimind/seq2seq"), 0), 4),
        "tatoeba_french": grouped(tatoeba(at("genimind/seq2seq"), 1), 6),
        "persona_chat": conversations(persona(at("google-research-datasets/Synthetic-Persona-Chat"))),
        "topical_chat": conversations(topical(at("alexa/Topical-Chat"))),
        "taskmaster": conversations(taskmaster(at("google-research-datasets/Taskmaster"))),
        "clinc150": grouped(clinc(at("clinc/oos-eval")), 2),
        "banking77": banking(at("PolyAI-LDN/task-specific-datasets")),
    }
    sources |= {f"common_voice_{l}": grouped(lines(at("mozilla/common-voice"), rf"server/data/{l}/sentence-collector\.txt"), 6) for l in LANGUAGES}
    with open(target, "w") as out:
        for source, texts in sources.items():
            n = size = 0
            for text in texts:
                held = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100 == 0
                out.write(json.dumps({"source": source, "text": text, "held": held}, ensure_ascii=False) + "\n")
                n, size = n + 1, size + len(text.encode())
            print(f"{source:40} {n:7} texts {size / 1e6:8.2f} MB", flush=True)


if __name__ == "__main__":
    main()
