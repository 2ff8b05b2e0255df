"""Turns a GGUF file into an ordinary Hugging Face folder, once.

Reading a quantised GGUF takes half a minute for a small model; the folder loads in seconds. The
weights are what the quantised file holds: de-quantised, then stored in 16 bits.
"""

from __future__ import annotations

from pathlib import Path

from spectheory.decoding.progress import transformers_bars_off
from spectheory.errors import MissingDependency


def convert_gguf(gguf: Path, folder: Path, dtype: str) -> dict[str, str]:
    """Write model and tokenizer of ``gguf`` into ``folder``; returns the versions that did it.

    Args:
        gguf: the file, of an architecture that transformers reads.
        folder: an existing empty folder.
        dtype: ``"float16"`` or ``"bfloat16"``, the dtype on disk.

    Raises:
        MissingDependency: the ``models`` extra is not installed.
    """
    try:
        import accelerate
        import gguf as gguf_package  # noqa: F401
        import torch
        import transformers
    except ImportError as error:
        raise MissingDependency(
            f"`{error.name}` is not installed; converting {gguf.name} needs "
            "`pip install 'spectheory[models]'`"
        ) from error
    from importlib.metadata import version

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    with transformers_bars_off():
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where, local_files_only=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            **where, local_files_only=True, dtype=torch.float32
        )
        # The weights are plain matrices by now; without these marks they are saved as such.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.is_quantized = False
        model.to(getattr(torch, dtype)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {
        "accelerate": accelerate.__version__,
        "gguf": version("gguf"),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
