/** Studies with their reports, as the library gives them. */
import type { RunViews } from "../../run/directory.ts";
import * as folds from "../../study/cross-validate.ts";
import * as runs from "../../study/study.ts";
import { reportFolds } from "./folds.ts";
import { reportOnDemand } from "./report.ts";

export const study = (args: runs.StudyArguments, files: RunViews): Promise<runs.StudyResult> =>
  runs.study(args, { files, report: reportOnDemand });

export const crossValidate = (args: folds.CrossValidateArguments, files: RunViews): Promise<folds.CrossValidation> =>
  folds.crossValidate(args, { files, report: reportFolds });
