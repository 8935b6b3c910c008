/** The Kubernetes manifest beside the sweep, against the schema that Kubernetes publishes. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";

/** The same object, which notes in `read` the path of every key that is read. */
function watched(value, read, path = "") {
  if (typeof value !== "object" || value === null) return value;
  return new Proxy(value, {
    get(target, key) {
      const place = `${path}/${String(key)}`;
      read.add(place);
      return watched(target[key], read, place);
    },
  });
}

function pathsIn(value, path = "") {
  if (typeof value !== "object" || value === null) return [];
  return Object.keys(value).flatMap((key) => [`${path}/${key}`, ...pathsIn(value[key], `${path}/${key}`)]);
}

/**
 * Throws unless each document is what the schema says, without unknown keys. The published schema allows those, as
 * kubectl does not: a key that its validator does not read is unknown. `home` has kubernetes-models in its
 * node_modules.
 */
export function checkDocuments(text, home) {
  const require = createRequire(join(home, "package.json"));
  const documents = parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  });
  for (const document of documents) {
    const { [document.kind]: Model } = require(`kubernetes-models/${document.apiVersion}`);
    const read = new Set();
    Model.prototype.validate.call(watched(document, read));
    const unknown = pathsIn(document).find((path) => !read.has(path));
    if (unknown) throw new Error(`${document.kind} has an unknown key: ${unknown}`);
  }
  return documents;
}

/** Throws unless the manifest is valid and its parts agree, and unless the check finds planted faults. */
export function checkManifest(path, home) {
  const text = readFileSync(path, "utf8");
  const documents = checkDocuments(text, home);
  for (const [right, wrong] of [
    ["completions: 4", "completions: four"],
    ["completionMode: Indexed", "completionMod: Indexed"],
    ["runAsNonRoot: true", "runAsNotRoot: true"],
    ["backoffLimitPerIndex: 3", "backoffLimitPerIndex: 0.5"],
    ["claimName: sweep", "claim: sweep"],
  ]) {
    const fault = text.replace(right, wrong);
    let found = fault === text;
    if (found) throw new Error(`${path} does not have "${right}"`);
    try {
      checkDocuments(fault, home);
    } catch {
      found = true;
    }
    if (!found) throw new Error(`the check does not find "${wrong}"`);
  }
  const { spec } = documents.find(({ kind }) => kind === "Job");
  const [{ args }] = spec.template.spec.containers;
  const shard = args[args.indexOf("--shard") + 1];
  if (shard !== `/${spec.completions}`) throw new Error(`--shard ${shard} of ${spec.completions} completions`);
  return documents.map(({ kind }) => kind);
}
