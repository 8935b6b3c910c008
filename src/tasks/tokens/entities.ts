/**
 * Entities in a sentence's tags, as seqeval 1.2 finds them by default, which follows conlleval: a tag is a prefix and a
 * type, B-PER, I-PER, or O; IOB1, IOB2 and IOBES are read alike, and a tag that does not fit begins an entity. Without
 * a type, B, I, E and S are of one type, "_". seqeval takes the first letter of any tag for its prefix; here a prefix is
 * one of a scheme's letters before a hyphen, in either case, and ORG, NOUN or B_PER is a type of its own.
 */

/** Words `first` to `last` of a sentence, of a type. */
export interface Entity {
  type: string;
  first: number;
  last: number;
}

/** Begins an entity, is inside it, ends it, is a single one, or is outside. */
interface Tag {
  prefix: "B" | "I" | "E" | "S" | "O";
  type: string;
}

/** A letter of a scheme, or what follows it. BILOU has "last" and "unit" for E and S, BMES "middle" for I. */
const TAG = /^([BIESOLUM.])(?:-(.*))?$/is;
const SAME: Readonly<Record<string, string>> = { L: "E", U: "S", M: "I", ".": "O" };

/** What each of a model's tags is. A letter by itself is one of a scheme if others have it before a hyphen, or all are. */
export function readTags(labels: readonly string[]): Tag[] {
  const found = labels.map((label) => TAG.exec(label));
  const isScheme = found.some((one) => one?.[2] !== undefined) || found.every(Boolean);
  return labels.map((label, i) => {
    const [, letter = "", type] = found[i] ?? [];
    if (label !== "O" && !(letter && (isScheme || type !== undefined))) return { prefix: "I", type: label };
    const prefix = letter.toUpperCase();
    return { prefix: (SAME[prefix] ?? prefix) as Tag["prefix"], type: type || "_" };
  });
}

/** The tags that seqeval reads otherwise. */
export function unlikeSeqeval(labels: readonly string[]): string[] {
  const tags = readTags(labels);
  return labels.filter((label, i) => tags[i]!.type === label || !/^([BIESO](-|$)|\.$)/.test(label));
}

/** Finds the entities of sentences, by the ids of their tags. */
export function entityFinder(labels: readonly string[]): (ids: readonly number[]) => Entity[] {
  const tags = readTags(labels);
  return (ids) => {
    const entities: Entity[] = [];
    for (const [i, id] of ids.entries()) {
      const { prefix, type } = tags[id]!;
      const before = tags[ids[i - 1]!];
      const goesOn = before && "BI".includes(before.prefix) && "IE".includes(prefix) && before.type === type;
      if (goesOn) entities.at(-1)!.last = i;
      else if (prefix !== "O") entities.push({ type, first: i, last: i });
    }
    return entities;
  };
}

/** The entities of two taggings that are the same: type, first and last word. */
export function countSame(some: readonly Entity[], others: readonly Entity[]): number {
  const keys = new Set(others.map(({ type, first, last }) => `${first} ${last} ${type}`));
  return some.filter(({ type, first, last }) => keys.has(`${first} ${last} ${type}`)).length;
}
