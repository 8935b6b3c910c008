/** Files by a path of their own, whatever they are read from: in Node and in pages alike. */
import { can, checkArguments, type Kind } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import { blobReader, type FileReader, handleReader, type NodeFileHandle } from "./reader.ts";

/**
 * What a file can be read from: a Blob or File, a Response that has not been read, a URL (by ranges, if the server
 * supports them), a page's FileSystemFileHandle, or a FileHandle of node:fs/promises, which stays open.
 */
export type FileSource = Blob | Response | URL | { getFile(): Promise<Blob> } | NodeFileHandle;

export const FILE_SOURCE: Kind = [
  "a Blob, a Response, a URL or a file handle",
  (value) =>
    value instanceof URL ||
    [["slice", "arrayBuffer"], ["clone", "arrayBuffer"], ["getFile"], ["read", "stat"]].some((methods) =>
      can(...methods)(value),
    ),
];

const registered = new Map<string, FileSource | FileReader>();
/** The bodies of responses: a response can be read once, a file again. */
const bodies = new WeakMap<Response, Promise<Blob>>();

const fileKey = (path: string) => path.replaceAll("\\", "/");

/**
 * Makes `file` the file at this path, for every function that takes a path, until `forgetFile`. A model, an adapter or
 * a run is a folder of such files.
 *
 * @example
 * ```ts
 * import { registerFile } from "lowrank";
 * import { loadDataset } from "lowrank/data";
 * import { Classifier, openDevice } from "lowrank/engine";
 *
 * const input = document.querySelector<HTMLInputElement>("input[type=file]")!;
 * registerFile("messages.csv", input.files![0]!);
 * const data = await loadDataset({ file: "messages.csv" });
 *
 * registerFile("mine/adapter_config.json", await fetch("/adapter_config.json"));
 * registerFile("mine/adapter_model.safetensors", new URL("/adapter_model.safetensors", location.href));
 * const classifier = await Classifier.load("mine", { device: await openDevice(), model: "gpt2" });
 * ```
 */
export function registerFile(path: string, file: FileSource): void {
  checkArguments({ path, file }, { path: "text", file: FILE_SOURCE });
  putFile(path, file);
}

/** As `registerFile`, also for a file that is open: it stays open when those who open it by its path close it. */
export function putFile(path: string, file: FileSource | FileReader): void {
  registered.set(fileKey(path), file);
}

/**
 * Forgets a file that `registerFile` registered.
 *
 * @example
 * ```ts
 * import { forgetFile } from "lowrank";
 *
 * forgetFile("messages.csv");
 * ```
 */
export function forgetFile(path: string): void {
  checkArguments({ path }, { path: "text" });
  registered.delete(fileKey(path));
}

export function registeredFile(path: string): FileSource | FileReader | undefined {
  return registered.get(fileKey(path));
}

/** The paths of the registered files at this path or in this folder; all without a path. */
export function registeredPaths(path?: string): string[] {
  const key = path === undefined ? undefined : fileKey(path).replace(/\/+$/, "");
  return [...registered.keys()].filter((file) => key === undefined || file === key || file.startsWith(`${key}/`));
}

/** The names in a folder of registered files; undefined if there are none. */
export function registeredNames(folder: string): string[] | undefined {
  const start = fileKey(folder).replace(/\/+$/, "").length + 1;
  const names = registeredPaths(folder).map((path) => path.slice(start).split("/")[0]!);
  return names.length > 0 ? [...new Set(names)].sort() : undefined;
}

/** Reads files by address; bundlers write some lines for each import. */
export const loadUrlFiles = () => import("./url-files.ts");

/** Opens a source; `name` is its name in errors. Throws ConfigError or DownloadError if it cannot be read. */
export async function openSource(name: string, source: FileSource | FileReader, limit?: number): Promise<FileReader> {
  if (isReader(source)) return { ...source, close: async () => {} };
  if (source instanceof URL) return (await loadUrlFiles()).openUrl(source.href, name, limit);
  if ("getFile" in source) return blobReader(name, await readable(name, source.getFile()));
  if ("stat" in source)
    return readable(
      name,
      handleReader(name, source, async () => {}),
    );
  return blobReader(name, "slice" in source ? source : await responseBody(name, source));
}

const isReader = (source: FileSource | FileReader): source is FileReader => "name" in source && "read" in source;

function responseBody(name: string, response: Response): Promise<Blob> {
  const known = bodies.get(response);
  if (known !== undefined) return known;
  const body = loadUrlFiles().then(({ readResponse }) => readResponse(response, name));
  bodies.set(response, body);
  return body;
}

/** Names the file in the errors of a handle that is closed, or whose file is gone. */
async function readable<T>(name: string, work: Promise<T>): Promise<T> {
  return work.catch((cause) => {
    if (cause instanceof ConfigError) throw cause;
    throw new ConfigError("cannot-read-file", `cannot read ${name}`, {
      expected: "an open file",
      found: (cause as Error).message,
      cause,
    });
  });
}
