/** A browser's private file system in memory, with the faults that a test plants: what src/platform/browser.ts uses. */

/** What is about to be done with a file or a folder, by its path. */
export type FileWork = "read" | "write" | "list" | "remove";
/** Is waited for before any work; may throw. */
export type Guard = (work: FileWork, path: string) => Promise<void>;

type Folder = Map<string, Folder | Uint8Array<ArrayBuffer>>;

const isFolder = (entry: Folder | Uint8Array | undefined): entry is Folder => entry instanceof Map;
const missing = (path: string) => new DOMException(`no ${path}`, "NotFoundError");
const otherKind = (path: string) => new DOMException(`${path} is of the other kind`, "TypeMismatchError");

/** What all tabs of a browser share. */
export class MemoryFiles {
  private readonly root: Folder = new Map();
  /** Bytes that a write may have from now on. */
  room = Infinity;

  /** The handle of the root, for a tab with this guard. */
  open(guard: Guard): FolderHandle {
    return new FolderHandle(this, this.root, "", guard);
  }

  /** The paths of all files, in alphabetical order. */
  list(folder = this.root, place = ""): string[] {
    const paths = [...folder].flatMap(([name, entry]) =>
      isFolder(entry) ? this.list(entry, `${place}${name}/`) : [place + name],
    );
    return paths.sort();
  }

  /** Replaces what a file has, as something that goes wrong in the browser would. */
  overwrite(path: string, bytes: Uint8Array<ArrayBuffer>): void {
    const names = path.split("/");
    const name = names.pop()!;
    const folder = names.reduce((entry, part) => entry.get(part) as Folder, this.root);
    if (!folder.has(name)) throw missing(path);
    folder.set(name, bytes);
  }
}

class FolderHandle {
  constructor(
    private readonly files: MemoryFiles,
    private readonly folder: Folder,
    private readonly path: string,
    private readonly guard: Guard,
  ) {}

  private at = (name: string) => (this.path === "" ? name : `${this.path}/${name}`);

  private find(name: string, create: (() => Folder | Uint8Array<ArrayBuffer>) | null) {
    const found = this.folder.get(name);
    if (found !== undefined) return found;
    if (create === null) throw missing(this.at(name));
    const made = create();
    this.folder.set(name, made);
    return made;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FolderHandle> {
    const found = this.find(name, create ? () => new Map() : null);
    if (!isFolder(found)) throw otherKind(this.at(name));
    return new FolderHandle(this.files, found, this.at(name), this.guard);
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FileHandle> {
    if (isFolder(this.find(name, create ? () => new Uint8Array() : null))) throw otherKind(this.at(name));
    return new FileHandle(this.files, this.folder, name, this.at(name), this.guard);
  }

  async *keys(): AsyncGenerator<string> {
    await this.guard("list", this.path);
    yield* [...this.folder.keys()];
  }

  async removeEntry(name: string, { recursive = false } = {}): Promise<void> {
    await this.guard("remove", this.at(name));
    const found = this.find(name, null);
    if (isFolder(found) && found.size > 0 && !recursive)
      throw new DOMException(`${this.at(name)} is not empty`, "InvalidModificationError");
    this.folder.delete(name);
  }
}

class FileHandle {
  constructor(
    private readonly files: MemoryFiles,
    private readonly folder: Folder,
    private readonly name: string,
    private readonly path: string,
    private readonly guard: Guard,
  ) {}

  private get content(): Uint8Array<ArrayBuffer> {
    const found = this.folder.get(this.name);
    if (found === undefined || isFolder(found)) throw missing(this.path);
    return found;
  }

  async getFile(): Promise<File> {
    await this.guard("read", this.path);
    return new File([this.content], this.name);
  }

  /** As Chromium: what is written waits in a file beside it, which stays if the tab ends. */
  async createWritable({ keepExistingData = false } = {}) {
    await this.guard("write", this.path);
    const waiting = `${this.name}.crswap`;
    let bytes = keepExistingData ? this.content : new Uint8Array();
    let position = 0;
    const keep = () => this.folder.set(waiting, bytes);
    keep();
    return {
      seek: async (to: number) => {
        position = to;
      },
      write: async (data: string | Uint8Array<ArrayBuffer> | Blob) => {
        const added = new Uint8Array(await new Blob([data]).arrayBuffer());
        if (added.length > this.files.room) throw new DOMException("no room", "QuotaExceededError");
        this.files.room -= added.length;
        const all = new Uint8Array(Math.max(bytes.length, position + added.length));
        all.set(bytes);
        all.set(added, position);
        position += added.length;
        bytes = all;
        keep();
      },
      close: async () => {
        await this.guard("write", `${this.path} (whole)`);
        this.folder.delete(waiting);
        this.folder.set(this.name, bytes);
      },
      abort: async () => void this.folder.delete(waiting),
    };
  }
}
