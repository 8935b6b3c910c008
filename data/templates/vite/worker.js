import { Classifier, openDevice } from "lowrank";

const classifier = openDevice().then((device) => Classifier.load(`${location.origin}/run/adapter`, { device }));
self.onmessage = async ({ data }) => self.postMessage((await (await classifier).classify([data]))[0]);
