import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { test } from "./harness.ts";

/** Names that a source file exports, types included. */
function exportsOf(path: string): string[] {
  const source = readFileSync(path, "utf8");
  const declared = [...source.matchAll(/^export (?:async )?(?:const|function|interface|type) (\w+)/gm)];
  const listed = [...source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names]) => names!.split(","));
  return [
    ...declared.map(([, name]) => name!),
    ...listed
      .map(
        (name) =>
          name
            .trim()
            .split(/\s+as\s+|^type\s+/)
            .at(-1)!,
      )
      .filter((name) => name !== ""),
  ].sort();
}

test("Node's side and the page's side export the same names", () => {
  const node = exportsOf("src/platform/node.ts");
  assert.ok(node.includes("openFile") && node.includes("joinPath"), node.join(", "));
  assert.equal(exportsOf("src/platform/browser.ts"), node);
});

test("the library for pages exports the names of the one for Node, and what gives a page's files a path", () => {
  const inNode = exportsOf("src/index.ts");
  const inPage = exportsOf("src/browser.ts");
  assert.ok(inNode.length > 30, inNode.join(", "));
  assert.equal(inPage, [...inNode, "forgetFile", "registerFile"].sort());
});
