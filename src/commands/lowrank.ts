#!/usr/bin/env node
/** lowrank: all commands in one. `lowrank train ...` is `node dist/train.js ...`; commands are imported on demand. */
import { Command } from "commander";
import { exists } from "#platform";
import { version } from "../../package.json";
import { ConfigError } from "../core/errors.ts";
import { calledAs } from "./called.ts";
import { main } from "./cli.ts";

type Commands = Record<string, { about: string; run: () => Promise<unknown> }>;

const COMMANDS: Commands = {
  train: {
    about: "fine-tune GPT-2, a Llama-type model or GPT-NeoX as a text classifier or as a language model",
    run: () => import("./train.ts"),
  },
  check: {
    about: "say what is wrong with data, and which command trains on it",
    run: () => import("./check.ts"),
  },
  classify: {
    about: "classify texts, or the rows of a table, with a trained model",
    run: () => import("./classify.ts"),
  },
  embed: { about: "write a vector for each row of a table, for search and clusters", run: () => import("./embed.ts") },
  generate: { about: "generate text from prompts", run: () => import("./generate.ts") },
  export: { about: "write a run for PEFT, transformers, llama.cpp or ONNX", run: () => import("./export.ts") },
  sweep: { about: "train a grid of settings with several seeds, and write a report", run: () => import("./sweep.ts") },
  doctor: {
    about: "say in three minutes what the device is, whether it is right, and how fast",
    run: () => import("./doctor.ts"),
  },
};

/** Commands for those who work on Lowrank itself. */
const DEV: Commands = {
  bench: { about: "measure speed, memory and size", run: () => import("./bench.ts") },
  verify: {
    about: "compare every tensor with PyTorch's, on golden fixtures; bisect two devices; print shaders",
    run: verify,
  },
};

/** It is a part of the tests, as its fixtures are: only a checkout has it. */
function verify(): Promise<unknown> {
  return import(new URL("../build/verify.js", import.meta.url).href).catch((cause) =>
    main(async () => {
      throw new ConfigError("no-such-file", "dev verify is a part of the tests, which a package does not have", {
        expected: "a checkout of Lowrank, after npm run build",
        cause,
      });
    }),
  );
}

const [node, script, ...given] = process.argv;
const asked = given[0] === "help" && given.length > 1 ? [...given.slice(1), "--help"] : given;
const [first = "-"] = asked;
const isFile = !/^-|^(dev|help)$/.test(first) && !Object.hasOwn(COMMANDS, first);
// `lowrank tickets.csv` trains on it.
const called = isFile && (/[./\\]/.test(first) || (await exists(first))) ? ["train", ...asked] : asked;
const isDev = called[0] === "dev";
const [command = "", ...rest] = isDev ? called.slice(1) : called;
const commands = isDev ? DEV : COMMANDS;
if (Object.hasOwn(commands, command)) {
  // The command reads its arguments as it does when its own file is called.
  process.argv = [node!, script!, ...rest];
  await commands[command]!.run();
} else {
  // Prints the help or the version, or suggests the nearest command.
  const program = new Command(calledAs(isDev ? "dev" : undefined))
    .description(
      isDev ? "For work on Lowrank itself." : "Fine-tunes GPT-2, small Llama-type models and GPT-NeoX with LoRA.",
    )
    .version(version)
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError("(use --help to list the commands)")
    .addHelpText(
      "after",
      isDev
        ? ""
        : `\n${calledAs("help")} COMMAND lists the flags of a command.\n` +
            `${calledAs("dev")} lists what work on Lowrank itself needs.\n` +
            `To learn from a table of texts and labels:\n  ${calledAs()} tickets.csv\n` +
            `For a first run of about a minute:\n  ${calledAs("train")}`,
    )
    .exitOverride();
  for (const [name, { about }] of Object.entries(commands)) program.command(name).description(about);
  await main(async () => {
    program.parse(command ? [command] : [], { from: "user" });
    return 0;
  });
}
