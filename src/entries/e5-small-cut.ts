/** lowrank/bases/e5-small-cut: a page that imports it has this base model, also when a bundler moves the code. */
import { placeData } from "../platform/assets.ts";

placeData("models/e5-small-cut", {
  "e5-small-cut.gguf": new URL("../../data/models/e5-small-cut/e5-small-cut.gguf", import.meta.url),
});
