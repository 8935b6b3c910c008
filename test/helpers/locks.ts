/** `navigator.locks` of the tabs of a browser: shared and exclusive locks, granted in the order of the requests. */

type Mode = "exclusive" | "shared";

interface Request {
  name: string;
  mode: Mode;
  /** Whose it is. */
  tab: object;
  grant(): void;
}

interface Options {
  mode?: Mode;
  ifAvailable?: boolean;
}

export class Locks {
  private held: Request[] = [];
  private waiting: Request[] = [];

  /** The locks as a tab has them. */
  of(tab: object) {
    return {
      request: <T>(name: string, ...rest: [(lock: object | null) => T] | [Options, (lock: object | null) => T]) => {
        const [options, work] = rest.length === 1 ? [{}, rest[0]] : rest;
        return this.request(tab, name, options, work);
      },
      query: async () => ({ held: this.held.map(({ name, mode }) => ({ name, mode })) }),
    };
  }

  /** Releases what a tab that has ended holds, and forgets what it waits for. */
  release(tab: object): void {
    this.held = this.held.filter((one) => one.tab !== tab);
    this.waiting = this.waiting.filter((one) => one.tab !== tab);
    this.grant();
  }

  private async request<T>(
    tab: object,
    name: string,
    { mode = "exclusive", ifAvailable = false }: Options,
    work: (lock: object | null) => T,
  ): Promise<Awaited<T>> {
    const granted = await new Promise<Request | null>((resolve) => {
      const request: Request = { name, mode, tab, grant: () => resolve(request) };
      this.waiting.push(request);
      this.grant();
      if (!ifAvailable || !this.waiting.includes(request)) return;
      this.waiting = this.waiting.filter((one) => one !== request);
      resolve(null);
    });
    if (granted === null) return await work(null);
    try {
      return await work({ name, mode });
    } finally {
      this.held = this.held.filter((one) => one !== granted);
      this.grant();
    }
  }

  private grant(): void {
    const left: Request[] = [];
    for (const request of this.waiting) {
      const isOther = ({ name, mode }: Request) =>
        name === request.name && (mode === "exclusive" || request.mode === "exclusive");
      if (this.held.some(isOther) || left.some(isOther)) left.push(request);
      else {
        this.held.push(request);
        request.grant();
      }
    }
    this.waiting = left;
  }
}
