/**
 * Which trials a study with a time budget trains next: successive halving over epochs (Jamieson and Talwalkar 2016).
 * All candidates are trained for a ninth of their epochs, the best third of them for a third, the best third of those
 * to the end. Each rung is a run of its own from its first step, with its own schedule: that costs a third more than
 * resuming the runs of the rung before, but the runs are comparable, and each has the bits of a run by hand.
 */
import { formatDuration } from "../core/format.ts";
import { countOf } from "../io/common.ts";
import { takesSteps } from "../methods/index.ts";
import { type Cell, expandArms, gatherSeeds, nameTrial, type SweepSpec, type Trial } from "./grid.ts";

/** One of so many goes on to the next rung, which has so many times the epochs. */
const ETA = 3;
/** The share of its epochs that a trial of each rung has. */
const SHARES = [1 / ETA ** 2, 1 / ETA, 1];

/** A setting that is tried: its trials at each rung, the last of them with all seeds. */
export interface Candidate {
  rungs: Trial[][];
}

/** The validation losses of finished trials, by their keys. */
export type Losses = ReadonlyMap<string, number>;

/**
 * The distinct candidates of a sweep, at each of the rates that a cell chooses from, in its order. `costOf` gives the
 * operations of a trial.
 */
export async function listCandidates(
  spec: SweepSpec,
  seeds: number,
  identify: (model: string) => unknown,
  costOf: (trial: Trial) => number,
): Promise<Candidate[]> {
  const ofShares = SHARES.map((share) => [...expandArms(spec, share)]);
  const candidates = new Map<string, Candidate>();
  for (const [i, { model, rates }] of ofShares.at(-1)!.entries()) {
    const identity = await identify(model);
    for (const j of rates.keys()) {
      const rungs = await Promise.all(
        ofShares.map((arms, rung) => {
          const options = arms[i]!.rates[j]!;
          const count = rung === SHARES.length - 1 ? seeds : 1;
          const ofSeed = (more: number) => nameTrial(model, { ...options, seed: options.seed + more }, identity);
          return Promise.all(Array.from({ length: count }, (_, more) => ofSeed(more)));
        }),
      );
      candidates.set(rungs.at(-1)![0]!.key, { rungs });
    }
  }
  return withCheapRungs([...candidates.values()], costOf);
}

/**
 * Without the rungs that save less than half of the next one: of few epochs a ninth and a third are the same, and the
 * evaluation of a large test set takes the same time after any number of them. One candidate alone is not chosen.
 */
function withCheapRungs(candidates: readonly Candidate[], costOf: (trial: Trial) => number): Candidate[] {
  const costAt = (rung: number) => candidates.reduce((sum, { rungs }) => sum + costOf(rungs[rung]![0]!), 0);
  const shares = [SHARES.length - 1];
  for (let rung = shares[0]! - 1; rung >= 0 && candidates.length > 1; rung--)
    if (2 * costAt(rung) <= costAt(shares[0]!)) shares.unshift(rung);
  return candidates.map(({ rungs }) => ({ rungs: shares.map((rung) => rungs[rung]!) }));
}

/** The trials of the candidates as cells: settings with a number of epochs. */
export function candidateCells(candidates: readonly Candidate[]): Cell[] {
  const rungs = candidates.flatMap((candidate) => candidate.rungs);
  return gatherSeeds(rungs.map((trials) => ({ rates: [trials] })));
}

/** The state in which the next rung is decided. */
export interface Standings {
  candidates: readonly Candidate[];
  losses: Losses;
  /** Trials that are not begun again: they failed, or another process has them. */
  isTaken: (trial: Trial) => boolean;
  /** The rung that was last trained: of those before it no more are begun. */
  from: number;
  costOf: (trial: Trial) => number;
  /** Estimated seconds of a trial; undefined: none has been measured. */
  estimate: (trial: Trial) => number | undefined;
  /** Whether a trial of its model has been measured. */
  isMeasured: (trial: Trial) => boolean;
  secondsLeft: number;
  /** Whether candidates are tried though more promising ones do not fit. */
  skips: boolean;
}

export interface Step {
  rung: number;
  trials: Trial[];
}

/** The trials that are trained next; null: no more are needed, or fit. */
export function nextStep(standings: Standings): Step | null {
  const { candidates, losses, isTaken, from, estimate, isMeasured, secondsLeft, skips } = standings;
  const isKnown = ({ rungs }: Candidate) => isMeasured(rungs[0]![0]!);
  // The first trial of a model is not begun in place of others if even at the pace of another model it does not fit.
  const isTooLong = (trial: Trial) => !skips && (estimate(trial) ?? 0) > secondsLeft;
  const isOpen = (trial: Trial) => !losses.has(trial.key) && !isTaken(trial);
  let entrants = candidates;
  for (let rung = 0; rung < countRungs(candidates); rung++) {
    if (rung > 0) entrants = goOn(entrants, rung - 1, losses);
    if (rung < from) continue;
    const open = entrants.filter(({ rungs }) => rungs[rung]!.some(isOpen));
    const unknown = open.filter((candidate) => !isKnown(candidate) && !isTooLong(candidate.rungs[rung]![0]!));
    const chosen =
      unknown.length > 0
        ? cheapest(standings, rung, unknown)
        : chooseFitting(standings, rung, entrants.filter(isKnown), open.filter(isKnown));
    const trials = new Map(chosen.flatMap(({ rungs }) => rungs[rung]!.map((rungTrial) => [rungTrial.key, rungTrial])));
    if (chosen.length > 0) return { rung, trials: [...trials.values()].filter(isOpen) };
  }
  return null;
}

/** "1, 3" of trials of a rung. */
export function listEpochs(trials: readonly Pick<Trial, "options">[]): string {
  const stepped = trials.filter(({ options }) => takesSteps(options.mode));
  return [...new Set(stepped.map(({ options }) => options.epochs))].sort((a, b) => a - b).join(", ");
}

const countRungs = ([first]: readonly Candidate[]) => first?.rungs.length ?? 0;

/** The mean validation loss of a candidate's trials at a rung; NaN: they have not all ended, or one has failed. */
function lossAt({ rungs }: Candidate, rung: number, losses: Losses): number {
  const trials = rungs[rung]!;
  return trials.reduce((sum, { key }) => sum + (losses.get(key) ?? Number.NaN), 0) / trials.length;
}

/** The candidates that go on from a rung, the best first: the third with the lowest validation loss. */
function goOn(entrants: readonly Candidate[], rung: number, losses: Losses): Candidate[] {
  const ended = entrants
    .map((candidate) => ({ candidate, loss: lossAt(candidate, rung, losses) }))
    .filter(({ loss }) => Number.isFinite(loss))
    .sort((a, b) => a.loss - b.loss);
  return ended.slice(0, Math.ceil(ended.length / ETA)).map(({ candidate }) => candidate);
}

/** The one that costs least: the first trial of a model measures the others, and should end in any case. */
function cheapest({ costOf }: Standings, rung: number, open: readonly Candidate[]): Candidate[] {
  const cost = ({ rungs }: Candidate) => rungs[rung]!.reduce((sum, trial) => sum + costOf(trial), 0);
  return [...open].sort((a, b) => cost(a) - cost(b)).slice(0, 1);
}

/**
 * Those of the open candidates of a rung that are begun: as many as fit, the first ones first, together with the rungs
 * after it. Of the first rung fewer than three are no choice: then the last rungs are left out first, as they are
 * where otherwise nothing fits any more.
 */
function chooseFitting(
  { losses, estimate, secondsLeft, skips }: Standings,
  rung: number,
  entrants: readonly Candidate[],
  open: readonly Candidate[],
): Candidate[] {
  const secondsAt = ({ rungs }: Candidate, at: number) =>
    rungs[at]!.reduce((sum, trial) => sum + (losses.has(trial.key) ? 0 : (estimate(trial) ?? 0)), 0);
  const isOpen = new Set(open);
  const ended = entrants.filter((entrant) => !isOpen.has(entrant));
  const fewest = rung === 0 ? Math.max(skips ? 1 : 0, Math.min(ETA, entrants.length) - ended.length) : 1;
  for (let last = countRungs(entrants) - 1; last >= rung; last--) {
    const rungs = Array.from({ length: last - rung + 1 }, (_, i) => rung + i);
    /** At each rung, the seconds of all that are begun or have ended. */
    let sums = rungs.map((at) => ended.reduce((sum, entrant) => sum + secondsAt(entrant, at), 0));
    const chosen: Candidate[] = [];
    for (const candidate of open) {
      const count = ended.length + chosen.length + 1;
      const more = sums.map((sum, i) => sum + secondsAt(candidate, rungs[i]!));
      // Of all of them the rung itself, then a third, a third of that, and so on.
      let onward = count;
      const seconds = more.reduce((total, sum, i) => {
        if (i > 0) onward = Math.ceil(onward / ETA);
        return total + (onward / count) * sum;
      }, 0);
      if (seconds > secondsLeft) {
        // Those after it are less promising, and taken in its place only where there is no choice else.
        if (!skips && count > ETA) break;
        continue;
      }
      chosen.push(candidate);
      sums = more;
    }
    if (chosen.length >= fewest || last === rung) return chosen;
  }
  return [];
}

interface HalvingArguments {
  candidates: readonly Candidate[];
  /** The validation loss and the seconds of a trial that is finished by now; null: it is not. */
  find: (trial: Trial) => Promise<{ loss: number; seconds: number } | null>;
  /** The operations of a trial. */
  costOf: (trial: Trial) => number;
  /** Seconds that are left. */
  secondsLeft: () => number;
  signal: AbortSignal;
  /** Receives a line about each step, and about what there was no time for. */
  say?: (line: string) => void;
}

/**
 * The trials that are trained next, each time of one model, until no more fit into the time or `signal` ends them:
 * those of seconds, then rung by rung, and from the first rung again while more candidates fit. How long a trial takes
 * is estimated from those that are finished.
 */
export async function* halve({
  candidates,
  find,
  costOf,
  secondsLeft,
  signal,
  say = () => {},
}: HalvingArguments): AsyncGenerator<readonly Trial[]> {
  const losses = new Map<string, number>();
  const pace = new Pace();
  /** Takes what is known of trials that have finished, in so many seconds together. */
  const take = async (trials: readonly Trial[], together = 0) => {
    const finished: { trial: Trial; loss: number; seconds: number }[] = [];
    // One after the other: of thousands at once a process could not open all files.
    for (const trial of trials) {
      const ended = await find(trial);
      if (ended) finished.push({ trial, ...ended });
    }
    // A trial's own seconds are without opening its model.
    const more = together - finished.reduce((sum, { seconds }) => sum + seconds, 0);
    for (const { trial, loss, seconds } of finished) {
      losses.set(trial.key, loss);
      if (takesSteps(trial.options.mode))
        pace.measure(trial.model, costOf(trial), seconds + Math.max(0, more) / finished.length);
    }
  };
  const all = candidateCells(candidates).flatMap(({ rates }) => rates.flat());
  // What takes seconds is what the others are to beat.
  yield all.filter(({ options }) => !takesSteps(options.mode));
  await take(all);
  const begun = new Set<string>();
  const estimate = (trial: Trial) => pace.estimate(trial.model, costOf(trial));
  const isMeasured = ({ model }: Trial) => pace.has(model);
  const isTaken = ({ key }: Trial) => begun.has(key);
  const common = { candidates, losses, isTaken, costOf, estimate, isMeasured };
  let [from, isFruitful, skips] = [0, false, false];
  while (!signal.aborted && secondsLeft() > 0) {
    const step = nextStep({ ...common, from, skips, secondsLeft: secondsLeft() });
    if (!step && !isFruitful) break;
    isFruitful = step !== null;
    skips ||= !step;
    from = step?.rung ?? 0;
    const next = step?.trials ?? [];
    const seconds = next.reduce((sum, trial) => sum + (isMeasured(trial) ? estimate(trial)! : Number.NaN), 0);
    if (step) say(describeStep(candidates, step, seconds));
    for (const model of new Set(next.map((trial) => trial.model))) {
      if (signal.aborted) break;
      const trials = next.filter((trial) => trial.model === model);
      for (const { key } of trials) begun.add(key);
      const before = secondsLeft();
      yield trials;
      await take(trials, before - secondsLeft());
    }
  }
  const untried = candidates.filter(({ rungs }) => !losses.has(rungs[0]![0]!.key)).length;
  if (untried > 0 && (!signal.aborted || secondsLeft() <= 0))
    say(`${untried} of ${countOf(candidates, "setting")} not tried: the same command goes on with more minutes`);
}

/** "rung 2 of 3: 4 trials with the lowest validation loss, epochs: 3, about 40 s" */
function describeStep(candidates: readonly Candidate[], { rung, trials }: Step, seconds: number): string {
  const chosen = rung > 0 ? "with the lowest validation loss" : `of ${candidates.length} settings`;
  const time = Number.isNaN(seconds) ? "" : `, about ${formatDuration(seconds)}`;
  return `rung ${rung + 1} of ${countRungs(candidates)}: ${countOf(trials, "trial")} ${chosen}, epochs: ${listEpochs(trials)}${time}`;
}

/** The operations of a trial, and the seconds that it took. */
type Measured = readonly [cost: number, seconds: number];

/**
 * Seconds of trials: a start, and a part for each operation, as a line through what was measured. Each model has its
 * own, as small ones spend more of their time on something else.
 */
export class Pace {
  private readonly measured = new Map<string, Measured[]>();

  measure(model: string, ...of: Measured): void {
    this.measured.set(model, [...(this.measured.get(model) ?? []), of]);
  }

  has(model: string): boolean {
    return this.measured.has(model);
  }

  /**
   * Of a model that has not been measured, the least that it would take at the pace of another one; undefined: there is
   * none.
   */
  estimate(model: string, cost: number): number | undefined {
    const points = this.measured.get(model);
    const all = points ? [points] : [...this.measured.values()];
    if (all.length === 0) return undefined;
    // Zero counts as measured: where all cost nearly the same, it is not known what a start takes.
    const lines = all.map((some) => fitLine([[0, 0], ...some]));
    return Math.min(...lines.map(([start, each]) => start + each * cost));
  }
}

/** Where the line of least squares starts, and its slope; through zero if one of them were negative. */
function fitLine(points: readonly Measured[]): [start: number, slope: number] {
  const sum = (of: (x: number, y: number) => number) => points.reduce((all, [x, y]) => all + of(x, y), 0);
  const [x, y] = [sum((x) => x) / points.length, sum((_, y) => y) / points.length];
  const slope = sum((one, other) => (one - x) * (other - y)) / sum((one) => (one - x) ** 2);
  const start = y - slope * x;
  return start >= 0 && slope >= 0 ? [start, slope] : [0, y / x];
}
