/** Every kernel, by name: what backends prepare and the layout test walks. */
import { adamwKernel } from "./adamw.ts";
import {
  attentionCachedKernel,
  attentionForwardKernel,
  attentionKeyvalueBackwardKernel,
  attentionQueryBackwardKernel,
} from "./attention.ts";
import { cacheWriteKernel } from "./cache.ts";
import { crossentropyBackwardKernel, crossentropyForwardKernel, crossentropyLossKernel } from "./crossentropy.ts";
import { embeddingBackwardKernel, embeddingForwardKernel, embeddingPositionBackwardKernel } from "./embedding.ts";
import { gatherBackwardKernel, gatherForwardKernel } from "./gather.ts";
import { geluBackwardKernel, geluForwardKernel } from "./gelu.ts";
import { gradnormPartialKernel, gradnormTotalKernel } from "./gradnorm.ts";
import type { Kernel } from "./kernel.ts";
import { layernormBackwardKernel, layernormForwardKernel, layernormParametersBackwardKernel } from "./layernorm.ts";
import { matmulBiasBackwardKernel, matmulFewKernel, matmulTallKernel, matmulWideKernel } from "./matmul.ts";
import { residualForwardKernel } from "./residual.ts";

export const KERNELS: readonly Kernel[] = [
  adamwKernel,
  attentionCachedKernel,
  attentionForwardKernel,
  attentionKeyvalueBackwardKernel,
  attentionQueryBackwardKernel,
  cacheWriteKernel,
  crossentropyBackwardKernel,
  crossentropyForwardKernel,
  crossentropyLossKernel,
  embeddingBackwardKernel,
  embeddingForwardKernel,
  embeddingPositionBackwardKernel,
  gatherBackwardKernel,
  gatherForwardKernel,
  geluBackwardKernel,
  geluForwardKernel,
  gradnormPartialKernel,
  gradnormTotalKernel,
  layernormBackwardKernel,
  layernormForwardKernel,
  layernormParametersBackwardKernel,
  matmulBiasBackwardKernel,
  matmulFewKernel,
  matmulTallKernel,
  matmulWideKernel,
  residualForwardKernel,
] as unknown as readonly Kernel[];
