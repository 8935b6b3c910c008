/** Examples that are typed or pasted, one text field a class. They become a file like one that the visitor selects. */
import { byId, h, setText } from "./dom.ts";
import { count } from "./format.ts";
import { EXAMPLES_FILE } from "./saved.ts";

const KEY = "lowrank-examples";
/** Milliseconds without input before the examples are read. */
const PAUSE = 500;
/** The fewest examples of a class: some are needed for validation and test. */
const FEWEST = 4;

interface ClassExamples {
  name: string;
  text: string;
}

const START: readonly ClassExamples[] = [
  { name: "positive", text: "" },
  { name: "negative", text: "" },
];

const exampleLines = ({ text }: ClassExamples) => text.split("\n").flatMap((line) => line.trim() || []);

export class ExamplesPanel {
  private classes: ClassExamples[];
  private timer = 0;
  private readonly list = h("div", { class: "classes" });
  private readonly help = h("p", { class: "help", role: "status" });

  /** `changed` receives the file, or null while there are too few examples. */
  constructor(private readonly changed: (file: File | null) => void) {
    const saved = localStorage.getItem(KEY);
    this.classes = saved === null ? structuredClone([...START]) : (JSON.parse(saved) as ClassExamples[]);
    const add = h("button", { type: "button", id: "add-class" }, "Add a class");
    add.addEventListener("click", () => {
      this.classes.push({ name: `class ${this.classes.length + 1}`, text: "" });
      this.draw();
      this.list.querySelector<HTMLElement>(".class:last-child input")!.focus();
      this.soon();
    });
    byId("examples").append(this.list, h("div", { class: "row" }, add), this.help);
    this.draw();
  }

  /** The file with the examples; null while there are too few, which is said. */
  get file(): File | null {
    const classes = this.classes.map((one) => ({ name: one.name.trim(), lines: exampleLines(one) }));
    const problem = findProblem(classes);
    const sum = classes.reduce((total, { lines }) => total + lines.length, 0);
    setText(this.help, problem ?? `${count(sum)} examples. More of them, and more varied ones, make a better model.`);
    if (problem !== null) return null;
    const rows = classes.flatMap(({ name, lines }) => lines.map((text) => JSON.stringify({ label: name, text })));
    return new File([`${rows.join("\n")}\n`], EXAMPLES_FILE, { type: "application/jsonl" });
  }

  private draw(): void {
    this.list.replaceChildren(...this.classes.map((one, i) => this.field(one, i)));
  }

  private field(one: ClassExamples, i: number): HTMLElement {
    const name = h("input", { id: `class-${i}`, type: "text", value: one.name, maxlength: 60 });
    const text = h("textarea", {
      id: `class-${i}-text`,
      rows: 4,
      placeholder: "One example per line",
      "aria-label": `Examples of ${one.name}`,
    });
    text.value = one.text;
    name.addEventListener("input", () => {
      one.name = name.value;
      text.setAttribute("aria-label", `Examples of ${name.value}`);
      this.soon();
    });
    text.addEventListener("input", () => {
      one.text = text.value;
      this.soon();
    });
    const remove = h("button", { type: "button", "aria-label": `Remove the class ${one.name}` }, "Remove");
    remove.addEventListener("click", () => {
      this.classes.splice(i, 1);
      this.draw();
      byId("add-class").focus();
      this.soon();
    });
    return h(
      "div",
      { class: "class" },
      h("label", { for: name.id }, `Class ${i + 1}`),
      h("div", { class: "row" }, name, this.classes.length > 2 ? remove : null),
      text,
    );
  }

  private soon(): void {
    localStorage.setItem(KEY, JSON.stringify(this.classes));
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.changed(this.file), PAUSE);
  }
}

/** What is missing before the examples can be used; null: nothing. */
function findProblem(classes: readonly { name: string; lines: readonly string[] }[]): string | null {
  const names = classes.map(({ name }) => name);
  if (names.includes("")) return "Give each class a name.";
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) return `Two classes are called ${twice}: give them different names.`;
  const few = classes.find(({ lines }) => lines.length < FEWEST);
  if (few) return `Write at least ${FEWEST} examples of ${few.name}, one per line: it has ${few.lines.length}.`;
  return null;
}
