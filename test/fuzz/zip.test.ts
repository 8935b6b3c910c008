/** Zip files of adapters, runs and classic models, as the library, the commands and the page open them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ClassicModel } from "../../src/classic/model.ts";
import { unpack } from "../../src/io/folder.ts";
import { atAdapter } from "../../src/io/peft/open-adapter.ts";
import { readAdapter } from "../../src/io/peft/peft.ts";
import { registeredPaths } from "../../src/platform/files.ts";
import { adapterFiles, runFiles } from "../../src/web/worker/files/archive.ts";
import { type Case, type Files, fuzz } from "./fuzz.ts";
import { CLASSICS, checkAdapter, OURS, PEFT, RECORDS, readPeft } from "./models.ts";
import { pick } from "./mutate.ts";
import { wildZip } from "./zips.ts";

const FOLDERS = ["", "", "run/adapter/", "a/b/", "adapter/"];
const ofZip = (name: string, all: readonly Files[], read: (path: string, folder: string) => Promise<() => unknown>) =>
  fuzz<Case>({
    name: `zip-${name}`,
    count: 250,
    make: (rng) => ({ files: new Map([["x.zip", wildZip(rng, pick(rng, all), pick(rng, FOLDERS))]]) }),
    async read(_, folder) {
      const check = await read(join(folder, "x.zip"), folder);
      return () => {
        if (registeredPaths().length > 0) throw new Error(`left among the registered files: ${registeredPaths()}`);
        return check();
      };
    },
  });

ofZip("ours", OURS, async (path, folder) => {
  const adapter = await atAdapter(path, (directory) => readAdapter(directory));
  return () => checkAdapter(adapter, folder);
});
ofZip("peft", PEFT, readPeft);
ofZip("classic", CLASSICS, async (path) => {
  const classic = await ClassicModel.load(path);
  return () => classic.labels.length > 0;
});

const RUNS = RECORDS.flatMap((record, i) => {
  const inRun = [...OURS[i]!].map(([name, content]) => [`adapter/${name}`, content] as const);
  return [new Map([...record, ...inRun, ["data/messages.csv", "text,label\n"]]), OURS[i]!];
});
const PLACES = /^((adapter|checkpoint|data|start)\/)?(?!\.{1,2}$)[^/\\]+$/;

/** What the page would write into its folder of the run. */
ofZip("page", RUNS, async (path) => {
  const some = await unpack([new File([readFileSync(path)], "x.zip")]);
  const files = (await runFiles(some)) ?? adapterFiles(some, "x.zip");
  for (const [place, pieces] of files) {
    if (!PLACES.test(place)) throw new Error(`a file at ${place}`);
    for await (const piece of pieces) void piece;
  }
  return () => files.size > 0;
});
