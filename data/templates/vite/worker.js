import { load } from "lowrank";
import "lowrank/bases/e5-small-cut"; // the base model of the run

const model = load("/run");
self.onmessage = async ({ data }) => self.postMessage(await (await model).classify(data));
