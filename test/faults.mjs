/**
 * The faults that test/mutants.mjs can plant in a file: each is a place {kind, start, end, after}, whose text is
 * replaced. TypeScript and AssemblyScript go by their syntax tree, WGSL by its tokens. Comments, types, imports and the
 * texts that people read stay: with another word in a message the program does the same.
 */
import { parse } from "@babel/parser";

const SWAPPED = {
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "===": "!==",
  "!==": "===",
  "==": "!=",
  "!=": "==",
  "+": "-",
  "-": "+",
  "*": "/",
  "/": "*",
  "%": "*",
  "<<": ">>",
  ">>": "<<",
  ">>>": "<<",
  "&": "|",
  "|": "&",
  "&&": "||",
  "||": "&&",
  "??": "&&",
  "+=": "-=",
  "-=": "+=",
  "*=": "/=",
  "/=": "*=",
}; // prettier-ignore

/** All faults that can be planted in a file of this name and text. */
export function listFaults(path, text) {
  return path.endsWith(".wgsl") ? shaderFaults(text) : scriptFaults(text);
}

function scriptFaults(text) {
  const faults = [];
  const source = (node) => text.slice(node.start, node.end);
  const add = (kind, { start, end }, after) => faults.push({ kind, start, end, after });
  const visit = (node, parent) => {
    if (!node || typeof node.type !== "string" || isPassive(node)) return;
    VISITORS[node.type]?.(node, { add, source, parent });
    for (const key of Object.keys(node))
      if (!/^(loc|extra|\w*[cC]omments|errors|tokens)$/.test(key))
        for (const child of [node[key]].flat()) visit(child, node);
  };
  visit(parse(text, { sourceType: "module", plugins: ["typescript", "decorators-legacy"] }).program, null);
  return faults;
}

/** Types, imports, and what an error says. */
function isPassive({ type, callee }) {
  if (type === "NewExpression") return /Error$/.test(callee.name);
  return /^TS(?!As|NonNull|Satisfies)|^Import(?!Expression)|^Export(All|Specifier)|^Decorator/.test(type);
}

const isProse = (text) => /\S\s+\S/.test(text);

/** Another operator between two operands; texts are only ever added. */
function swapOperator({ left, right, operator }, { add, source }) {
  const after = SWAPPED[operator];
  const texts = [left, right].some(({ type }) => /^(String|Template)Literal$/.test(type));
  if (!after || (texts && operator === "+")) return;
  const between = source({ start: left.end, end: right.start }).replace(operator, after);
  add("operator", { start: left.start, end: right.end }, source(left) + between + source(right));
}

function negate({ test }, { add, source }) {
  if (test) add("condition", test, `!(${source(test)})`);
}

function drop(node, { add }) {
  add("drop", node, ";");
}

function changeArguments(node, { add, source }) {
  const { callee, arguments: args } = node;
  const name = callee.property?.name ?? callee.name;
  const other = { min: "max", max: "min" }[name];
  // The order of min's and max's arguments changes nothing.
  if (other) return add("bound", callee.property ?? callee, other);
  if (/^(slice|subarray|substring)$/.test(name)) for (const arg of args) add("slice", arg, `${source(arg)} + 1`);
  for (const [i, first] of args.slice(0, -1).entries()) {
    const second = args[i + 1];
    const between = source({ start: first.end, end: second.start });
    if (source(first) === source(second)) continue;
    add("arguments", { start: first.start, end: second.end }, source(second) + between + source(first));
  }
}

/** Another letter in the middle of a text. */
function changeLetter({ start, end }, { add, source }) {
  const at = start + ((end - start) >> 1);
  const letter = source({ start: at, end: at + 1 });
  if (
    end - start > 0 &&
    !isProse(source({ start, end })) &&
    /\w/.test(letter) &&
    source({ start: at - 1, end: at }) !== "\\"
  )
    add("letter", { start: at, end: at + 1 }, letter === "x" ? "y" : "x");
}

const VISITORS = {
  BinaryExpression: swapOperator,
  LogicalExpression: swapOperator,
  AssignmentExpression: swapOperator,
  IfStatement: negate,
  WhileStatement: negate,
  ConditionalExpression: negate,
  ExpressionStatement: drop,
  ThrowStatement: drop,
  ContinueStatement: drop,
  BreakStatement: drop,
  CallExpression: changeArguments,
  OptionalCallExpression: changeArguments,
  NewExpression: changeArguments,
  NumericLiteral: (node, { add }) => add("number", node, String(node.value + 1)),
  BooleanLiteral: (node, { add }) => add("boolean", node, String(!node.value)),
  StringLiteral: ({ start, end }, context) => changeLetter({ start: start + 1, end: end - 1 }, context),
  TemplateElement: changeLetter,
  AwaitExpression: ({ start, end, argument }, { add, source }) => add("await", { start, end }, source(argument)),
  BlockStatement({ body }, { add, parent }) {
    if (!/Function|Method/.test(parent.type)) return;
    for (const { start } of body) add("return", { start, end: start }, "return; ");
  },
};

function shaderFaults(text) {
  const faults = [];
  const add = (kind, start, before, after) => faults.push({ kind, start, end: start + before.length, after });
  const code = text.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, " "));
  for (const { index, 0: line } of code.matchAll(/^(?!@group).+$/gm)) {
    for (const { index: at, 1: operator } of line.matchAll(/(?<= )([<>]=?|[=!]=|[-+*/%&|]|&&|\|\||<<|>>|[-+*]=)(?= )/g))
      if (SWAPPED[operator]) add("operator", index + at, operator, SWAPPED[operator]);
    for (const { index: at, 0: number, 1: digits } of line.matchAll(/(?<![\w.])(\d+)(\.\d+)?(?=[ufi]?\b)/g))
      add("number", index + at, number, `${Number(digits) + 1}${number.slice(digits.length)}`);
    const [statement, start] = /^\s+(?!let |var |const |return)([^\s{}/][^{}]*;)$/.test(line)
      ? [line.trim(), index + line.search(/\S/)]
      : [];
    if (statement) add("drop", start, statement, ";");
    const condition = /\bif \((.*)\) \{$/.exec(line);
    if (condition) add("condition", index + condition.index + 4, condition[1], `!(${condition[1]})`);
  }
  return faults;
}
