/** Trains, beside the page's own thread. */
import { type DeviceName, fineTune, loadDataset, loadModel, openDevice } from "../browser.ts";

self.onmessage = async ({ data }: MessageEvent<{ device: DeviceName }>) => {
  const device = await openDevice(data.device);
  self.postMessage({ type: "device", name: device.info.name });
  const model = await loadModel("gpt2-micro");
  const messages = await loadDataset({ name: "spam-assassin" }, { maxLength: 64 });
  const stop = new AbortController();
  await fineTune({
    device,
    model,
    data: messages,
    signal: stop.signal,
    onEvent: (event) => {
      if (event.type !== "step") return;
      self.postMessage({ type: "step", step: event.record.step, loss: event.record.loss });
      if (event.record.step === 3) stop.abort();
    },
  });
  self.postMessage({ type: "done" });
};
