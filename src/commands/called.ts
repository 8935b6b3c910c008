/** How this program was called, for help and hints: the commands that they print work as they are. */
import { shellWord as quoteWord } from "../core/quote.ts";

/**
 * The words before the arguments of one of the commands: "npx lowrank train" from a project that depends on the
 * package, "lowrank train" where it is installed for all, "node dist/train.js" from a file of `dist/`, which "dev
 * bench" has as well. Without `command`, those of all commands.
 */
export function calledAs(command?: string): string {
  const script = process.argv[1] ?? "";
  const [, folder = "", file = ""] = /^(.*[\\/])?(.*)$/s.exec(script)!;
  const then = command === undefined ? "" : ` ${command}`;
  if (/[\\/]node_modules[\\/](\.bin[\\/]lowrank|lowrank[\\/]dist[\\/]lowrank\.js)$/.test(script))
    return `npx lowrank${then}`;
  if (file === "lowrank") return `lowrank${then}`;
  if (file === "lowrank.js" || command === undefined) return `node ${shellWord(fromHere(script))}${then}`;
  return `node ${shellWord(fromHere(`${folder}${command.replace("dev ", "")}.js`))}`;
}

/** A path as it is typed in the working directory. */
function fromHere(path: string): string {
  const here = process.cwd();
  return /^[\\/]/.test(path.slice(here.length)) && path.startsWith(here) ? path.slice(here.length + 1) : path;
}

/** A word of a command line, in the quotes of the shell here. */
export const shellWord = (word: string): string => quoteWord(word, process.platform === "win32");
