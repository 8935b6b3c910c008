/** The settings that have a field: their labels, their valid values, and the modes that they apply to. */
import type { ScheduleName } from "../../train/schedule.ts";

/** Labels of the schedules: the learning rate after the warm-up. */
export const SCHEDULE_NAMES: Record<ScheduleName, string> = {
  constant: "constant",
  linear: "linear decay",
  cosine: "cosine decay",
};
