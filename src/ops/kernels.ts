/** Every kernel, by name: what backends prepare and the layout test walks. */
import { adamwKernel } from "./adamw.ts";
import { attentionForwardKernel, attentionKeyvalueBackwardKernel, attentionQueryBackwardKernel } from "./attention.ts";
import { crossentropyBackwardKernel, crossentropyForwardKernel, crossentropyLossKernel } from "./crossentropy.ts";
import { embeddingBackwardKernel, embeddingForwardKernel, embeddingPositionBackwardKernel } from "./embedding.ts";
import { gatherBackwardKernel, gatherForwardKernel } from "./gather.ts";
import { geluBackwardKernel, geluForwardKernel } from "./gelu.ts";
import { gradnormPartialKernel, gradnormTotalKernel } from "./gradnorm.ts";
import type { Kernel } from "./kernel.ts";
import { layernormBackwardKernel, layernormForwardKernel, layernormParametersBackwardKernel } from "./layernorm.ts";
import { matmulBiasBackward, matmulTall, matmulWide } from "./matmul.ts";
import { residualForwardKernel } from "./residual.ts";

export const KERNELS: readonly Kernel[] = [
  adamwKernel,
  attentionForwardKernel,
  attentionKeyvalueBackwardKernel,
  attentionQueryBackwardKernel,
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
  matmulBiasBackward,
  matmulTall,
  matmulWide,
  residualForwardKernel,
] as unknown as readonly Kernel[];
