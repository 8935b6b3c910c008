/** Making and finding elements. */

type Content = Node | string | number | null | undefined;

/** Attributes; `on...` are listeners, true stands for an empty one, and false, null and undefined for none. */
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>;

/** An element with attributes and what is in it. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...content: readonly (Content | readonly Content[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(
    ...content
      .flat()
      .filter((part): part is Node | string | number => part != null)
      .map(asNode),
  );
  return element;
}

/** The same for SVG. */
export function svg(tag: string, attributes: Attributes = {}, ...content: readonly Node[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  element.append(...content);
  return element;
}

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : String(value));
  }
}

function asNode(part: Node | string | number): Node {
  return part instanceof Node ? part : document.createTextNode(String(part));
}

/** The element with an id of index.html. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no element #${id}`);
  return element as T;
}

/** A share as a bar; the figure beside it says the same. */
export function bar(share: number): SVGElement {
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 100, height: 1 }),
    svg("rect", { width: 100 * share, height: 1 }),
  );
}

/** Pairs of a term and its value, in the order given; elements that are there are reused, so that nothing jumps. */
export function setFigures(
  list: HTMLElement,
  figures: readonly (readonly [term: string, value: string, hint?: string])[],
): void {
  const groups = [...list.children];
  figures.forEach(([term, value, hint], i) => {
    const group = groups[i] ?? list.appendChild(h("div", {}, h("dt"), h("dd")));
    setText(group.children[0]!, term);
    setText(group.children[1]!, value);
    if (hint) group.setAttribute("title", hint);
    else group.removeAttribute("title");
  });
  for (const group of groups.slice(figures.length)) group.remove();
}

/** Sets a text only where it changes: a live region tells every change. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A table with a header row; cells that are numbers are aligned to the right. */
export function table(
  caption: string,
  header: readonly string[],
  rows: readonly (readonly Content[])[],
): HTMLTableElement {
  return h(
    "table",
    {},
    h("caption", {}, caption),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        header.map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) =>
        h(
          "tr",
          {},
          row.map((cell, i) => (i === 0 ? h("th", { scope: "row" }, cell) : h("td", {}, cell))),
        ),
      ),
    ),
  );
}

/** A part that scrolls by itself, which the keyboard must reach. */
export function scrollArea(label: string, content: Node, kind = ""): HTMLElement {
  return h("div", { class: `scroll ${kind}`.trim(), tabindex: 0, role: "region", "aria-label": label }, content);
}
