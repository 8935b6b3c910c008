/** Creates and finds elements. */

type Content = Node | string | number | null | undefined;

/** `on...` adds a listener; true sets an empty attribute; false, null and undefined set none. */
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>;

/** Creates an HTML element. */
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

/** Creates an SVG element. */
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

/** The element with an id of index.html; throws if there is none. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no element #${id}`);
  return element as T;
}

/** Calls `take` with the name in a text field when its button is pressed, or Enter in the field. */
export function onName(field: string, button: string, take: (name: string) => void): void {
  const input = byId<HTMLInputElement>(field);
  const submit = () => take(input.value.trim());
  byId(button).addEventListener("click", submit);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    submit();
  });
}

/** A bar for a share, hidden from screen readers: the number beside it says the same. */
export function bar(share: number): SVGElement {
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 100, height: 1 }),
    svg("rect", { width: 100 * share, height: 1 }),
  );
}

/** Shows pairs of a term and a value. Existing elements are reused, so that the layout does not shift. */
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

/** Sets a text only if it differs: a live region announces every change. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A table with a header row and, in the first column, row headers. */
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

/** A scrollable region that is focusable, so that the keyboard can scroll it. */
export function scrollArea(label: string, content: Node, kind = ""): HTMLElement {
  return h("div", { class: `scroll ${kind}`.trim(), tabindex: 0, role: "region", "aria-label": label }, content);
}

/** Offers a file as a download. */
export function offerFile(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
