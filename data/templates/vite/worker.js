import { load } from "lowrank";

const model = load("/run");
self.onmessage = async ({ data }) => self.postMessage(await (await model).classify(data));
