/** The states of the page's worker, and what leads from one to another. */
import * as assert from "uvu/assert";
import { Machine } from "../../../src/web/worker/train/machine.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";

/** A machine, the ends that its runs were asked for, and its state after some transitions. */
function open() {
  const stopped: string[] = [];
  const group = { stop: (how: string) => stopped.push(how) };
  const machine = new Machine<{ stop(how: string): void }>();
  return { machine, group, stopped };
}

test("a run begins, trains and ends; only in idle can another one begin", async () => {
  const { machine, group, stopped } = open();
  const names: string[] = [];
  const refuse = () => assertFails("run-active", () => machine.begin());
  for (const step of [
    () => machine.begin(),
    () => machine.train(group),
    () => machine.next(),
    () => machine.train(group),
    () => machine.end("paused"),
  ]) {
    step();
    names.push(machine.state.name);
    assert.is(machine.isIdle, false);
    assert.is(machine.group, machine.state.name === "opening" ? undefined : group);
    await refuse();
  }
  assert.equal(names, ["opening", "training", "opening", "training", "ending"]);
  assert.equal(stopped, ["paused"]);
  machine.next();
  machine.finish();
  assert.equal([machine.state, machine.group], [{ name: "idle" }, undefined]);
  machine.begin();
});

test("nothing is ended in idle, and nothing of it is left for the next run", () => {
  const { machine, group, stopped } = open();
  machine.end("stopped");
  assert.is(machine.state.name, "idle");
  assert.throws(() => machine.train(group), /cannot train: the worker is idle/);
  machine.begin();
  machine.train(group);
  assert.equal([machine.state.name, stopped], ["training", []]);
});

test("a run that is ended while it is opened is ended as soon as it trains, as asked for last", () => {
  const { machine, group, stopped } = open();
  machine.begin();
  machine.end("paused");
  machine.end("stopped");
  assert.equal([machine.state, stopped], [{ name: "opening", ended: "stopped" }, []]);
  machine.train(group);
  assert.equal([machine.state.name, stopped], ["ending", ["stopped"]]);
});

test("a run that cannot begin leaves nothing of how it was ended", () => {
  const { machine, group, stopped } = open();
  machine.begin();
  machine.end("paused");
  machine.finish();
  machine.begin();
  machine.train(group);
  assert.equal(stopped, []);
});

test("how runs end can change while they do, and holds for the next ones of their comparison", () => {
  const { machine, group, stopped } = open();
  machine.begin();
  machine.train(group);
  machine.end("paused");
  machine.end("stopped");
  assert.equal(stopped, ["paused", "stopped"]);
  machine.next();
  machine.train(group);
  assert.equal([machine.state.name, stopped.at(-1), stopped.length], ["ending", "stopped", 3]);
});

test("the next run of a comparison that cannot begin is followed by another", () => {
  const { machine, group } = open();
  machine.begin();
  machine.train(group);
  machine.next();
  // It could not be opened: the worker still opens.
  machine.train(group);
  assert.is(machine.group, group);
});

test("a use ends the one before it of its kind, and no other; a run ends none", () => {
  const { machine } = open();
  const [first, labelling] = [machine.use("writing"), machine.use("labelling")];
  const writing = machine.use("writing");
  machine.begin();
  assert.equal([first.aborted, writing.aborted, labelling.aborted], [true, false, false]);
  assert.is(first.reason.name, "AbortError");
  machine.stop("writing");
  assert.equal([writing.aborted, labelling.aborted], [true, false]);
});
