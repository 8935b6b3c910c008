/** export: converts a trained model for PEFT, transformers, transformers.js, llama.cpp or a browser. */
import { exists, joinPath } from "#platform";
import { ConfigError } from "../core/errors.ts";
import { COMMON_DTYPES, type CommonDtype } from "../core/tensor.ts";
import { EXPORT, EXPORTS, type ExportKind, FORMS, type Form, planExport, refuseExport } from "../export/index.ts";
import { marked, writeFolder } from "../io/marker.ts";
import { openAdapter, runOf } from "../io/peft/open-adapter.ts";
import { METHODS } from "../methods/index.ts";
import { RECORD } from "../record/record.ts";
import { readRecord, TUNED } from "../run/directory.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { choice, command, main, print, printNote, settle } from "./cli.ts";

const program = command(
  "export",
  "Exports a run of `train` for other programs. LoRA, prompt and prefix tuning can stay an adapter (peft), and a page " +
    "takes every classifier as it is. In the other forms what was trained is merged into the base model, which prompts, " +
    "prefixes and adapter layers cannot be. Where a probe answers in place of what was trained, a page has the probe, and " +
    "the other forms what was trained. GGUF is for language models. Each has a README.md that is a model card of the " +
    "Hugging Face hub. If the format cannot express a part of the model, the export fails and reports the effect of " +
    "dropping it; --lossy drops it.",
  [
    "--run runs/first --to peft --out exports/first-peft",
    "--run runs/first --to merged --out exports/first",
    '--run runs/first --to page --title "Is it spam?" --out exports/page',
    "--run runs/texts --to gguf --dtype q8 --out exports/texts",
  ],
)
  .requiredOption(
    "--run <dir>",
    "a run directory, its adapter/, a zip file of either, or the directory of several runs",
  )
  .addOption(
    choice(
      "--to <form>",
      EXPORTS.map((name) => `${name} (${FORMS[name].reader}): ${FORMS[name].about}`).join("; "),
      EXPORTS,
    ).makeOptionMandatory(),
  )
  .requiredOption("--out <dir>", "output directory, written atomically")
  .addOption(choice("--dtype <type>", `type of the weights, the default first: ${listDtypes()}`, COMMON_DTYPES))
  .option("--with-base", "copy the base model next to the adapter, for another machine")
  .option("--title <text>", "what a page is called (default: its labels, as a question)")
  .option("--lossy", "drop what the target format cannot express")
  .option("--force", "replace an earlier export")
  .option("--model <dir|name>", "base model (default: the one that the run names)")
  .allowExcessArguments(false);

interface ExportFlags {
  run: string;
  to: ExportKind;
  out: string;
  dtype?: CommonDtype;
  withBase?: boolean;
  title?: string;
  lossy?: boolean;
  force?: boolean;
  model?: string;
}

/** The forms that have several types of weights: "merged f32 f16; gguf f16 ..." */
function listDtypes(): string {
  const list = (name: ExportKind) => {
    const { dtypes }: Form = FORMS[name];
    return dtypes ? `${name} ${dtypes.join(" ")}` : [];
  };
  return EXPORTS.flatMap(list).join("; ");
}

await main(async () => {
  program.parse();
  const flags = program.opts<ExportFlags>();
  const { to, out, dtype, title, withBase = false, lossy = false, force = false } = flags;
  await settle(flags.run);
  await settle(out);
  const run = await runOf(flags.run);
  await refuseExport(out, force);
  const open = (place: string) => openAdapter(place, flags.model, { onProgress: downloadProgress(process.stderr) });
  let opened = await open(run);
  const { isFitted } = METHODS[opened.adapter.meta.mode];
  const isTuned = isFitted === true && to !== "page" && (await exists(joinPath(run, TUNED)));
  if (isTuned) {
    printNote("note: a probe answers in this run; exported is what was trained");
    await opened.baseModel.close();
    opened = await open(joinPath(run, TUNED));
  }
  try {
    // An adapter alone has none.
    const record = (await exists(joinPath(run, RECORD))) ? await readRecord(run) : undefined;
    if (isTuned) delete record?.results?.test.serves;
    const plan = await planExport(to, opened, {
      record,
      withBase,
      title,
      ...(dtype === undefined ? {} : { dtype }),
    });
    const { losses } = plan;
    if (losses.length > 0 && !lossy)
      throw new ConfigError("not-expressible-in-format", `${FORMS[to].reader} cannot express all of this model`, {
        where: run,
        found: losses.join("\n"),
        hint: "give --lossy to export without it",
      });
    await writeFolder(out, marked(plan.files, EXPORT), EXPORT, force);
    for (const line of losses) printNote(`dropped: ${line}`);
    for (const note of plan.notes) printNote(`note: ${note}`);
    print(`written: ${[...plan.files.keys()].map((name) => joinPath(out, name)).join("\n         ")}`);
  } finally {
    await opened.baseModel.close();
  }
  return 0;
});
