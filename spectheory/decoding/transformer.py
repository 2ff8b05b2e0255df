"""Any Hugging Face causal language model as a `LanguageModel`, with exits at its own layers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spectheory.decoding.early_exit import EarlyExit, as_numpy, check_layer, final_norm
from spectheory.decoding.memory import check_room, weight_bytes
from spectheory.decoding.model import check_logits, check_tokens
from spectheory.decoding.progress import transformers_bars_off
from spectheory.decoding.threads import torch_threads
from spectheory.errors import InputError, MissingDependency, SourceUnavailable

if TYPE_CHECKING:
    from spectheory.decoding.transformer_session import TransformerSession


class TransformerModel:
    """A causal language model and its tokenizer, in evaluation mode.

    Attributes:
        name: for tables and messages.
        module: the transformers model.
        tokenizer: its tokenizer.
        vocab_size: number of rows of the output head; a padded head counts in full.
        context: most tokens it looks back on; None if its configuration does not say. Where all
            positions would be turned by other angles in a longer text ("longrope"), those that it
            looks back on with the first: keys in the cache could not follow.
        layers: number of transformer layers.
        small_passes: types that `speed_up` lets weights be read in; empty before.
    """

    def __init__(self, module: Any, tokenizer: Any, name: str) -> None:
        self.name = name
        self.module = module.eval()
        self.tokenizer = tokenizer
        self.vocab_size = int(module.get_output_embeddings().weight.shape[0])
        config = module.config.get_text_config()
        self.context = _context(config)
        self.layers = int(config.num_hidden_layers)
        self.small_passes: set[str] = set()
        self._cache_checked = False
        self._keeps_columns = "logits_to_keep" in inspect.signature(module.forward).parameters

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        *,
        name: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        threads: int | None = None,
    ) -> TransformerModel:
        """Load a local folder in Hugging Face form; nothing is fetched, and no code in it is run.

        Args:
            folder: with ``config.json``, safetensors and tokenizer files.
            name: the folder's name if not given.
            device: torch device; CUDA if there is one.
            dtype: torch dtype by name; float32 on CPU, bfloat16 on CUDA.
            threads: see `torch_threads`; used on CPU.

        Raises:
            MissingDependency: the ``models`` extra is not installed.
            SourceUnavailable: transformers cannot read the folder.
            MemoryError: main memory has no room for the weights.
        """
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingDependency(
                f"`{error.name}` is not installed; running a model needs "
                "`pip install 'spectheory[models]'`"
            ) from error
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
        with transformers_bars_off():
            try:
                if device == "cpu":
                    torch_threads(threads)
                    check_room(
                        weight_bytes(Path(folder), getattr(torch, dtype).itemsize),
                        f"weights of {folder} in {dtype}",
                        "end other programs, or take a smaller model or dtype",
                    )
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    folder, local_files_only=True
                )
                module = transformers.AutoModelForCausalLM.from_pretrained(
                    folder, local_files_only=True, dtype=getattr(torch, dtype)
                )
            except (OSError, ValueError) as error:
                raise SourceUnavailable(
                    f"`folder` is {folder}, which transformers cannot load: {error}"
                ) from error
        return cls(module.to(device), tokenizer, name or Path(folder).name)

    def encode(self, text: str) -> np.ndarray:
        """``(T,)`` token ids of ``text``, with the special tokens the tokenizer adds by default."""
        return np.asarray(self.tokenizer(text)["input_ids"], dtype=np.int64)

    def chat(self, text: str) -> np.ndarray:
        """``(T,)`` token ids of a user's message and the beginning of an answer to it.

        Raises:
            InputError: the tokenizer has no chat template.
        """
        if not getattr(self.tokenizer, "chat_template", None):
            raise InputError(
                f"model `{self.name}` has no chat template; give it plain text. A base model?"
            )
        found = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True
        )
        return np.asarray(found["input_ids"], dtype=np.int64)

    def decode(self, tokens: Any) -> str:
        """The text of token ids."""
        return str(self.tokenizer.decode(np.asarray(tokens).tolist()))

    def logits(self, tokens: Any) -> np.ndarray:
        """``(T, V)`` float32, from one forward pass; see `LanguageModel.logits`.

        Raises:
            TokenError, ContextTooLong: the tokens do not fit the model.
            ModelFailure: NaN or infinite logits.
        """
        import torch

        with torch.inference_mode():
            output = self.module(self.batch(tokens), use_cache=False)
            return check_logits(self.name, as_numpy(output.logits[0]))

    def exit_logits(self, tokens: Any, layers: Sequence[int]) -> dict[int, np.ndarray]:
        """Logits read off after each of some layers, from one forward pass.

        The hidden state after layer L goes through the final norm and the output head, as the last
        layer's does; L = `layers` gives the model's own logits.

        Args:
            tokens: ``(T,)``.
            layers: which ones, 1 to `layers`.

        Returns:
            ``{layer: (T, V) float32}``.

        Raises:
            InputError: a layer that the model does not have, or a model whose logits are not
                norm -> head of its hidden state; see `final_norm`.
        """
        import torch

        for layer in layers:
            check_layer(self, layer)
        base, norm = self.module.base_model, final_norm(self)
        with torch.inference_mode():
            # Hidden states leave the body with the last one normalised already.
            states = base(
                self.batch(tokens), use_cache=False, output_hidden_states=True
            ).hidden_states
            head = self.module.get_output_embeddings()
            exits = {}
            for layer in layers:
                state = states[layer] if layer == self.layers else norm(states[layer])
                exits[layer] = check_logits(f"{self.name}, exit {layer}", as_numpy(head(state)[0]))
        return exits

    def session(self, texts: int) -> TransformerSession:
        """A session over empty texts, with a key-value cache; the first one tries the model.

        Raises:
            InputError: a model that cannot forget single tokens; see `TransformerSession` and
                `check_cache_reading`.
        """
        if not self._cache_checked:
            from spectheory.decoding.cache_check import check_cache_reading

            check_cache_reading(self, self._open(2))
            self._cache_checked = True
        return self._open(texts)

    def _open(self, texts: int) -> TransformerSession:
        from spectheory.decoding.transformer_session import TransformerSession

        if getattr(self.module, "_is_stateful", False):
            raise InputError(
                f"model `{self.name}` keeps a recurrent state, which cannot be rolled back behind "
                "a rejected token"
            )
        weight = self.module.get_output_embeddings().weight
        config = self.module.config.get_text_config()
        body = self.module.base_model
        return TransformerSession(self.name, self._pass, config, self.layers, texts, weight, body)

    def _pass(self, keep: Any, **inputs: Any) -> Any:
        """See `spectheory.decoding.transformer_session.Pass`."""
        if self._keeps_columns:
            return self.module(**inputs, use_cache=True, logits_to_keep=keep).logits
        return self.module(**inputs, use_cache=True).logits[:, keep]

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a text, by the tokenizer and by the model's settings for generation."""
        settings = getattr(self.module, "generation_config", None)
        found = set[int]()
        for source in (self.tokenizer, settings):
            end = getattr(source, "eos_token_id", None)
            found |= set() if end is None else {end} if isinstance(end, int) else set(end)
        return frozenset(found)

    def speed_up(self) -> None:
        """Make passes over a few tokens cheap on CPU; see `speed_up_small_passes`.

        Drafts cut from the model share the change, and so does whoever else runs its module.
        """
        from spectheory.decoding.small_passes import speed_up_small_passes

        if not self.small_passes:
            self.small_passes = speed_up_small_passes(self.module)

    def early_exit(self, layer: int) -> EarlyExit:
        """The draft model that stops after ``layer`` layers.

        Raises:
            InputError: the model has no such layer.
        """
        return EarlyExit(self, layer)

    def batch(self, tokens: Any) -> Any:
        """``(1, T)`` tensor of checked tokens on the model's device."""
        import torch

        ids = check_tokens(tokens, self.vocab_size, self.context)
        return torch.from_numpy(ids)[None].to(self.module.device)


def _context(config: Any) -> int | None:
    """Most tokens that a model can look back on while its cache stays right; see the class."""
    most: int | None = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    for kind in (rope, *(part for part in rope.values() if isinstance(part, dict))):
        if kind.get("rope_type") == "longrope":
            original = kind.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", None
            )
            most = min((length for length in (most, original) if length), default=None)
    return most
