/** Until the charts are merged. */
import type { Chart } from "./charts/chart.ts";

export const chartSvg = (chart: Chart) => `<svg><title>${chart.title}</title></svg>`;
