/** The data that the page trains on. */
import { computed, signal } from "@preact/signals";
import type { Objective } from "../../../config.ts";
import type { RunSettings } from "../../../run/settings.ts";

export const objective = signal<Objective>("classification");
export const dataSettings = computed(
  (): RunSettings => (objective.value === "lm" ? { objective: "lm", dataset: "human-rights" } : { dataset: "spam" }),
);
