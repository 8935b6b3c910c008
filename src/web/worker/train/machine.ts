/**
 * What the worker does: the state of its runs, and what else uses a device.
 *
 *     idle --begin--> opening --train--> training --end--> ending
 *       ^                | ^                 |                |
 *       +----finish------+ +------next-------+------next------+
 */
import { ConfigError } from "../../../core/errors.ts";
import type { TrainingGroup } from "./group.ts";

/** How the visitor ends runs before their last step. */
type Ending = "paused" | "stopped";

/** Runs that train at the same time. */
interface Group {
  /** Ends them soon. */
  stop(how: Ending): void;
}

type State<G extends Group> =
  | { name: "idle" }
  /** A run is opened: the first one, or the next of its comparison. One that was `ended` is, as soon as it trains. */
  | { name: "opening"; ended: Ending | null }
  | { name: "training"; group: G }
  /** The runs save what they have learned. */
  | { name: "ending"; group: G; ended: Ending };

/** A user of a device while runs may train. */
type Use = "writing" | "labelling";

export class Machine<G extends Group> {
  state: State<G> = { name: "idle" };
  private readonly uses = new Map<Use, AbortController>();

  get isIdle(): boolean {
    return this.state.name === "idle";
  }

  /** The run that is trained, until it is saved. */
  get group(): G | undefined {
    return "group" in this.state ? this.state.group : undefined;
  }

  /** From idle to opening. Throws ConfigError in every other state. */
  begin(): void {
    if (!this.isIdle)
      throw new ConfigError("run-active", "A run is already active", { hint: "stop it first, or wait until it ends" });
    this.state = { name: "opening", ended: null };
  }

  /** From opening to training, and on to ending if the visitor has ended it meanwhile. */
  train(group: G): void {
    const { state } = this;
    if (state.name !== "opening") throw new Error(`a run cannot train: the worker is ${state.name}`);
    this.state = { name: "training", group };
    if (state.ended) this.end(state.ended);
  }

  /**
   * From training to ending. Remembered in opening, without effect in idle; how runs end can change until they have.
   */
  end(how: Ending): void {
    const { state } = this;
    if (state.name === "idle") return;
    if (state.name === "opening") this.state = { name: "opening", ended: how };
    else {
      this.state = { name: "ending", group: state.group, ended: how };
      state.group.stop(how);
    }
  }

  /** From training or ending to opening: the comparison may have another run, which is ended with them. */
  next(): void {
    this.state = { name: "opening", ended: "ended" in this.state ? this.state.ended : null };
  }

  /** To idle. */
  finish(): void {
    this.state = { name: "idle" };
  }

  /** Begins a use, which ends the one before it of its kind. The signal says when to end. */
  use(use: Use): AbortSignal {
    this.stop(use);
    const controller = new AbortController();
    this.uses.set(use, controller);
    return controller.signal;
  }

  stop(use: Use): void {
    this.uses.get(use)?.abort(new DOMException(`${use} was stopped`, "AbortError"));
  }
}

/** The worker's. */
export const machine = new Machine<TrainingGroup>();
