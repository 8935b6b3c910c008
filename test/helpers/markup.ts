/** Checks SVG and HTML. */
import * as assert from "uvu/assert";
import { textWidth } from "../../src/views/charts/text.ts";

/** Checks that elements are nested correctly and text is escaped. */
export function assertWellFormed(markup: string): void {
  const open: string[] = [];
  for (const [, close, name, rest] of markup.matchAll(/<(\/?)([a-z]+)([^<>]*)>/gi)) {
    if (close) assert.is(open.pop(), name);
    else if (!rest!.endsWith("/")) open.push(name!);
  }
  assert.equal(open, []);
  assert.not.match(markup.replace(/<[^<>]*>/g, ""), /[<>]|&(?!(amp|lt|gt|quot|#\d+);)/);
}

/** The CSV files that a report saves, by their names. */
export const savedTables = (html: string) =>
  new Map(
    [...html.matchAll(/ value="([^"]+\.csv)".*?<script type="application\/json">(.*?)<\/script>/gs)].map(
      ([, name, lines]) => [name!, (JSON.parse(lines!) as string[]).join("")],
    ),
  );

/** The texts of an SVG, in document order. */
export const svgTexts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!);

type Point = readonly [x: number, y: number];

/** The corners of all that a chart's SVG draws. The width of a text is estimated. */
export function drawnPoints(svg: string): Point[] {
  const found: Point[] = [];
  // Where each open element's origin is, and the size of its text and its anchor.
  const open = [{ x: 0, y: 0, size: 12, anchor: "start" }];
  for (const [, close, name, rest, text] of svg.matchAll(/<(\/?)([a-z]+)([^<>]*)>([^<]*)/gi)) {
    if (close) {
      open.pop();
      continue;
    }
    const given = Object.fromEntries(
      [...rest!.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key, value]) => [key!, value!]),
    );
    const at = { ...open.at(-1)! };
    const [, dx = "0", dy = "0"] = given.transform?.match(/^translate\((\S+) (\S+)\)/) ?? [];
    at.x += Number(dx);
    at.y += Number(dy);
    if (given["font-size"]) at.size = Number(given["font-size"]);
    if (given["text-anchor"]) at.anchor = given["text-anchor"];
    open.push(at);
    const number = (key: string) => Number(given[key] ?? 0);
    const add = (x: number, y: number) => found.push([at.x + x, at.y + y]);
    if (name === "rect") {
      add(number("x"), number("y"));
      add(number("x") + number("width"), number("y") + number("height"));
    }
    if (name === "circle") for (const r of [-1, 1]) add(number("cx") + r * number("r"), number("cy") + r * number("r"));
    if (name === "path") for (const [x, y] of pathPoints(given.d ?? "")) add(x, y);
    if (name === "text") {
      const width = textWidth(text!.replaceAll(/&#?\w+;/g, "x"), at.size);
      const from = -width * ({ start: 0, middle: 0.5, end: 1 }[at.anchor] ?? 0);
      for (const side of [from, from + width])
        if (given.transform?.startsWith("rotate")) add(number("x"), number("y") + side);
        else add(number("x") + side, number("y"));
    }
  }
  return found;
}

function pathPoints(d: string): Point[] {
  const points: Point[] = [];
  let [x, y] = [0, 0];
  for (const [, command, list] of d.matchAll(/([a-z])([^a-z]*)/gi)) {
    const numbers = list!.trim().split(/[ ,]+/).filter(Boolean).map(Number);
    const [a = 0, b = 0] = numbers.slice(-2);
    if (command === "M" || command === "L") [x, y] = [a, b];
    else if (command === "H") x = numbers[0]!;
    else if (command === "V") y = numbers[0]!;
    else if (command === "h") x += numbers[0]!;
    else if (command === "v") y += numbers[0]!;
    else if (command === "m" || command === "l" || command === "a") [x, y] = [x + a, y + b];
    else if (command !== "z") throw new Error(`path command ${command}`);
    points.push([x, y]);
  }
  return points;
}
