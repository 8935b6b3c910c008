/** What the charts share: texts in SVG, and the steps of an axis. */
import { svg } from "./dom.ts";

export function svgText(x: number, y: number, content: string, anchor: string): SVGElement {
  const element = svg("text", { x, y, "text-anchor": anchor });
  element.textContent = content;
  return element;
}

/** The title of a vertical axis, which is read from below. */
export function verticalTitle(x: number, y: number, content: string): SVGElement {
  const element = svgText(x, y, content, "middle");
  element.setAttribute("transform", `rotate(-90 ${x} ${y})`);
  return element;
}

/** The multiples of 1, 2 or 5 times a power of ten that are within these limits: at most `most` steps. */
export function steps(low: number, high: number, most: number): number[] {
  const least = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= least * (1 - 1e-9))!;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}
