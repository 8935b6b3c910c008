#!/usr/bin/env node
/** lowrank: all commands in one. `lowrank train ...` is `node dist/train.js ...`; commands are imported on demand. */
import { Command } from "commander";
import { version } from "../../package.json";
import { calledAs } from "./called.ts";
import { main } from "./cli.ts";

const COMMANDS: Record<string, { about: string; run: () => Promise<unknown> }> = {
  train: {
    about: "fine-tune GPT-2, a Llama-type model or GPT-NeoX as a text classifier or as a language model",
    run: () => import("./train.ts"),
  },
  check: {
    about: "say what is wrong with data, and which command trains on it",
    run: () => import("./check.ts"),
  },
  sweep: { about: "train a grid of settings with several seeds, and write a report", run: () => import("./sweep.ts") },
  classify: {
    about: "classify texts, or the rows of a table, with a trained model",
    run: () => import("./classify.ts"),
  },
  generate: { about: "generate text from prompts", run: () => import("./generate.ts") },
  export: { about: "write a run for PEFT, transformers, llama.cpp or ONNX", run: () => import("./export.ts") },
  verify: { about: "compare every tensor with PyTorch's, on golden fixtures", run: () => import("./verify.ts") },
  bench: { about: "measure speed, memory and size", run: () => import("./bench.ts") },
  doctor: {
    about: "say in three minutes what the device is, whether it is right, and how fast",
    run: () => import("./doctor.ts"),
  },
};

const [node, script, name = "", ...args] = process.argv;
const [command, ...rest] = name === "help" && args.length > 0 ? [...args, "--help"] : [name, ...args];
if (Object.hasOwn(COMMANDS, command)) {
  // The command reads its arguments as it does when its own file is called.
  process.argv = [node!, script!, ...rest];
  await COMMANDS[command]!.run();
} else {
  // Prints the help or the version, or suggests the nearest command.
  const program = new Command(calledAs())
    .description("Fine-tunes GPT-2, small Llama-type models and GPT-NeoX with LoRA.")
    .version(version)
    .configureHelp({ subcommandTerm: (one) => one.name() })
    .showHelpAfterError("(use --help to list the commands)")
    .addHelpText(
      "after",
      `\n${calledAs("help")} COMMAND lists the flags of a command.\nFor a first run of about a minute:\n  ${calledAs("train")}`,
    )
    .exitOverride();
  for (const [name, { about }] of Object.entries(COMMANDS)) program.command(name).description(about);
  await main(async () => {
    program.parse(command ? [command] : [], { from: "user" });
    return 0;
  });
}
