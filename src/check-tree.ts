/** The check of an object with objects in it. Apart from checks.ts, as a page that classifies reads no such file. */
import { type FieldKind, findWrong, isText, type Wrong } from "./checks.ts";

/**
 * The kinds of an object's values by their keys: one of them, those of an object within, or those of the objects of a
 * list. What is within an object, with "?" after its key, may be null or missing.
 */
export interface Tree {
  readonly [key: string]: FieldKind | Tree | readonly [Tree];
}

const isKind = (one: Tree[string]): one is FieldKind => isText(one) || (Array.isArray(one) && one.length === 2);

/** The first value that is not of its kind: its key, behind `path`, and what is expected. */
export function findWrongIn(object: object, tree: Tree, path = ""): Wrong | undefined {
  for (const [name, kind] of Object.entries(tree)) {
    const key = isKind(kind) ? name : name.replace("?", "");
    const value = (object as Record<string, unknown>)[key];
    if (key !== name && (value ?? null) === null) continue;
    const own = isKind(kind) ? kind : Array.isArray(kind) ? "objects" : "object";
    // Under one name: an object with a name of its own for each value of a long list would be slow.
    const wrong = findWrong({ value }, { value: own });
    if (wrong) return { ...wrong, key: path + key };
    const within = isKind(kind) ? undefined : findWithin(value as object, kind as Tree | [Tree], path + key);
    if (within) return within;
  }
  return undefined;
}

function findWithin(value: object, kind: Tree | readonly [Tree], place: string): Wrong | undefined {
  if (!Array.isArray(kind)) return findWrongIn(value, kind as Tree, `${place}.`);
  for (const [i, one] of (value as object[]).entries()) {
    const wrong = findWrongIn(one, kind[0], `${place}[${i}].`);
    if (wrong) return wrong;
  }
  return undefined;
}
