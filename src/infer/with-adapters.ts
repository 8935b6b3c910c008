/** What a classifier and a language model have in common: named adapters on one base model. */
import { checkArguments } from "../arguments.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Adapters } from "../engine/adapters.ts";
import type { Weights } from "../engine/weights.ts";
import { ConfigError } from "../errors.ts";

export abstract class WithAdapters<E extends Weights> {
  private isDestroyed = false;

  protected constructor(
    private readonly held: Adapters<E>,
    protected readonly tokenizer: Tokenizer,
  ) {}

  /** Throws ConfigError where the model was destroyed. */
  protected get onDevice(): Adapters<E> {
    if (this.isDestroyed) throw new ConfigError("the model was destroyed", { hint: "destroy it at the end" });
    return this.held;
  }

  /** Names of the adapters that are loaded; the one that `load` was given is "default". */
  get adapters(): string[] {
    return this.onDevice.names;
  }

  /** The adapter that is active; null where there is none, or where adapters are disabled. */
  get activeAdapter(): string | null {
    return this.onDevice.active;
  }

  /**
   * Loads another adapter of the same base model, of a run or of PEFT, under a name; `setAdapter` makes it active. The base
   * model stays on the device. Throws ConfigError for a name that is taken and for what does not fit, FormatError for a
   * damaged file.
   */
  async loadAdapter(directory: string, name: string): Promise<void> {
    checkArguments({ directory, name }, { directory: "text", name: "text" });
    return this.onDevice.load(directory, name);
  }

  /** Makes an adapter the active one, and enables it: only the adapter goes to the device. */
  async setAdapter(name: string): Promise<void> {
    checkArguments({ name }, { name: "text" });
    return this.alone(() => this.onDevice.set(name));
  }

  /** The base model alone, a classifier's with the active adapter's head, until `enableAdapters` or `setAdapter`. */
  disableAdapters(): Promise<void> {
    return this.alone(() => this.onDevice.disable());
  }

  enableAdapters(): Promise<void> {
    return this.alone(() => this.onDevice.enable());
  }

  /** Forgets an adapter that is not the active one. */
  deleteAdapter(name: string): void {
    checkArguments({ name }, { name: "text" });
    this.onDevice.delete(name);
  }

  /** Frees the model's memory on the device. */
  destroy(): void {
    this.isDestroyed = true;
    this.held.destroy();
  }

  /** Swaps adapters while nothing else is at work. Throws ConfigError where something is. */
  protected abstract alone(work: () => Promise<void>): Promise<void>;
}
