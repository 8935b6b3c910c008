/** Confident learning: which labels are improbable, and in which order. */
import * as assert from "uvu/assert";
import { findSuspects, joinShares } from "../../src/study/review.ts";
import { test } from "../helpers/harness.ts";

test("rows off the diagonal of the confident joint are suspects, the worst first", () => {
  // Thresholds by hand: class 0: (.9 + .8 + .1 + .45) / 4 = .5625; class 1: (.95 + .7 + .2) / 3 = .6167.
  const given = [0, 0, 0, 0, 1, 1, 1];
  const ofOne = [0.1, 0.2, 0.9, 0.55, 0.95, 0.7, 0.2];
  const suspects = findSuspects(
    ofOne.flatMap((share) => [1 - share, share]),
    given,
    2,
  );
  // The fourth row is more probably of class 1, but does not reach its threshold.
  assert.equal(
    suspects.map(({ row, suggested, margin }) => [row, suggested, Number(margin.toFixed(6))]),
    [
      [2, 1, -0.8],
      [6, 0, -0.6],
    ],
  );
});

test("a row of which a sure model is a little less sure is a suspect, too", () => {
  const ofOne = [0.99995, 0.99996, 0.99965, 0.00002, 0.00003];
  const suspects = findSuspects(
    ofOne.flatMap((share) => [1 - share, share]),
    [1, 1, 0, 0, 0],
    2,
  );
  assert.equal(
    suspects.map(({ row }) => row),
    [2],
  );
});

test("of several classes above their thresholds the most probable counts; one without rows is never suggested", () => {
  const probabilities = [
    [0.5, 0.3, 0.2, 0],
    [0.2, 0.35, 0.45, 0],
    [0.1, 0.5, 0.4, 0],
    [0.1, 0.1, 0.3, 0.5],
  ].flat();
  assert.equal(
    findSuspects(probabilities, [0, 0, 1, 2], 4).map(({ row, suggested }) => [row, suggested]),
    [[1, 2]],
  );
});

test("two models are joined by the geometric mean, a share of 1 a row", () => {
  const joined = joinShares([0.8, 0.2, 0.5, 0.5], [0.2, 0.8, 0.9, 0.1], 2);
  assert.equal(
    [...joined].map((share) => Number(share.toFixed(6))),
    [0.5, 0.5, 0.75, 0.25],
  );
});
