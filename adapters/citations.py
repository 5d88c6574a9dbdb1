"""What the methods of our systems are called in a bibliography."""

from __future__ import annotations

from harness.adapters.settings import Model, Train

UNMASKING = (
    "Dukić and Šnajder, 2024. Looking Right is Sometimes Right: Investigating the Capabilities of Decoder-only LLMs "
    "for Sequence Labeling. Findings of ACL."
)
VLLM = "Kwon et al., 2023. Efficient Memory Management for Large Language Model Serving with PagedAttention. SOSP."
_LORA = "Hu et al., 2022. LoRA: Low-Rank Adaptation of Large Language Models. ICLR."
_QLORA = "Dettmers et al., 2023. QLoRA: Efficient Finetuning of Quantized LLMs. NeurIPS."


def training_citations(model: Model, train: Train) -> list[str]:
    """Those of how a model is trained."""
    return [*([_LORA] if train.method == "lora" else []), *([_QLORA] if model.quantization == "nf4" else [])]
