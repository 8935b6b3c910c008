export * from "../../views/metric.ts";
