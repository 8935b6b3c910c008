/** lowrank/bases/gpt2-micro: a page that imports it has this base model, also when a bundler moves the code. */
import { placeData } from "../platform/assets.ts";

placeData("models/gpt2-micro", {
  "config.json": new URL("../../data/models/gpt2-micro/config.json", import.meta.url),
  "model.safetensors": new URL("../../data/models/gpt2-micro/model.safetensors", import.meta.url),
  "vocab.json": new URL("../../data/models/gpt2-micro/vocab.json", import.meta.url),
  "merges.txt": new URL("../../data/models/gpt2-micro/merges.txt", import.meta.url),
});
