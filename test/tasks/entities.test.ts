import * as assert from "uvu/assert";
import { countSame, entityFinder, unlikeSeqeval } from "../../src/tasks/tokens/entities.ts";
import { words } from "../../src/tasks/tokens/tokens-words.ts";
import { test } from "../helpers/harness.ts";

/** The entities of "B-PER O", by a model that has these tags and others. */
function find(tags: string, others: readonly string[] = []) {
  const list = tags.split(" ");
  const labels = [...new Set([...list, ...others])];
  return entityFinder(labels)(list.map((tag) => labels.indexOf(tag)));
}

/** As "PER 0-0". */
const show = (tags: string, others?: readonly string[]) =>
  find(tags, others)
    .map(({ type, first, last }) => `${type} ${first}-${last}`)
    .join(", ");

test("entities are those that seqeval 1.2.2 finds (get_entities): IOB1, IOB2, IOBES, without types, tags that do not fit", () => {
  for (const [tags, expected] of [
    ["O O", ""],
    ["B-PER I-PER O B-LOC", "PER 0-1, LOC 3-3"],
    ["B-PER B-PER I-PER", "PER 0-0, PER 1-2"],
    ["I-PER I-PER O I-LOC", "PER 0-1, LOC 3-3"],
    ["B-PER I-LOC", "PER 0-0, LOC 1-1"],
    ["S-LOC B-PER I-PER E-PER S-PER", "LOC 0-0, PER 1-3, PER 4-4"],
    ["E-PER E-PER I-PER", "PER 0-0, PER 1-1, PER 2-2"],
    ["O-PER S-LOC B-LOC B-PER O S-LOC S-LOC", "LOC 1-1, LOC 2-2, PER 3-3, LOC 5-5, LOC 6-6"],
    ["I- B-LOC E-PER B-LOC O-PER B-LOC I-LOC", "_ 0-0, LOC 1-1, PER 2-2, LOC 3-3, LOC 5-6"],
    ["B I O I I B", "_ 0-1, _ 3-4, _ 5-5"],
    ["E O I B S I . S E", "_ 0-0, _ 2-2, _ 3-3, _ 4-4, _ 5-5, _ 7-7, _ 8-8"],
    ["B-PER I-LOC I I-A-B I-A-B . I", "PER 0-0, LOC 1-1, _ 2-2, A-B 3-4, _ 6-6"],
  ] as const) {
    assert.is(show(tags), expected, tags);
    assert.equal(unlikeSeqeval(tags.split(" ")), []);
  }
});

test("a prefix stands before a hyphen: what seqeval reads by its first letter is a type of its own, and check names it", () => {
  for (const [tags, expected, others] of [
    ["ORG ORG O PER ORG EVENT", "ORG 0-1, PER 3-3, ORG 4-4, EVENT 5-5"],
    ["NOUN NOUN . VERB S", "NOUN 0-1, . 2-2, VERB 3-3, S 4-4"],
    ["B_PER I_PER O", "B_PER 0-0, I_PER 1-1"],
    ["b-per i-per o b-loc B-loc", "per 0-1, loc 3-3, loc 4-4"],
    // As seqeval's strict mode with BILOU, and its default of BMES.
    ["U-PER U-PER B-PER I-PER L-PER B-PER L-PER O", "PER 0-0, PER 1-1, PER 2-4, PER 5-6"],
    ["B M E S S", "_ 0-2, _ 3-3, _ 4-4"],
    ["X-A X-A B-A", "X-A 0-1, A 2-2"],
    ["M", "_ 0-0", ["B"]],
    ["M", "M 0-0", ["NN"]],
  ] as const)
    assert.is(show(tags, others), expected, tags);
  assert.is(words.reads!(["B-PER", "I-PER", "O"]), "types of entities: PER; as seqeval reads these tags");
  assert.is(
    words.reads!(["ORG", "O", "B-PER"]),
    "types of entities: ORG, PER; seqeval, which takes the first letter of a tag for its prefix, reads differently: ORG",
  );
  assert.equal(unlikeSeqeval(["NN", "S", "."]), ["NN", "S", "."]);
});

test("entities are the same if type and words are", () => {
  const [truth, predicted] = ["B-PER I-PER O B-LOC", "B-PER I-PER O B-ORG"].map((tags) => find(tags));
  assert.is(countSame(truth!, predicted!), 1);
  assert.is(countSame(truth!, []), 0);
  assert.is(countSame(truth!, truth!), 2);
});
