/**
 * Files that are dropped anywhere on the page: zip files are runs or adapters, a GGUF file is a model, others are data.
 */
import { signal } from "@preact/signals";
import { isGguf } from "../../../platform/paths.ts";
import { load } from "../runs/runs.ts";
import { goTo } from "../shared/scroll.ts";
import { addModel, BUNDLED, model } from "../train/model.ts";
import { takeFiles } from "./data.ts";

/** Whether files are held over the page. */
export const isOver = signal(false);

/** Returns a function that ends it. */
export function acceptDrops(): () => void {
  const types = ["dragover", "dragleave", "drop"] as const;
  for (const type of types) document.addEventListener(type, onDrag);
  return () => {
    for (const type of types) document.removeEventListener(type, onDrag);
  };
}

function onDrag(event: DragEvent): void {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  isOver.value = event.type === "dragover";
  const files = [...event.dataTransfer.files];
  if (event.type !== "drop" || files.length === 0) return;
  if (files.every(({ name }) => name.endsWith(".zip"))) load(files, model.value?.name ?? BUNDLED);
  else if (files.some(({ name }) => isGguf(name))) addModel(files);
  else {
    takeFiles(files);
    goTo("data");
  }
}
