"""The model's configuration, with every size."""

from __future__ import annotations

from typing import Any, cast

from tokenizers import Tokenizer
from transformers import Qwen3VLConfig

HIDDEN = 256
LAYERS = 9
HEADS = 2
HEAD = 256
MLP = 24  # what the circuit uses: one unit per count, and one for the query
THETA = 1e24  # all but the first 18 rotary pairs hardly turn: they compare contents
SECTIONS = [116, 6, 6]
VISION_HIDDEN = 160
VISION_HEADS = 5
VISION_LAYERS = 5
VISION_MLP = 512
VISION_THETA = 100.0
DEEPSTACK = [1, 3]
MAX_SIDE = 1024
CELL = 32
MIN_PIXELS = 64 * 64
MAX_PIXELS = 1280 * 1280


def vocabulary(tokenizer: Tokenizer) -> int:
    """Return the rows of the embedding table: the tokenizer's entries rounded up to a multiple of 64."""
    return -(-tokenizer.get_vocab_size() // 64) * 64


def configuration(tokenizer: Tokenizer) -> Qwen3VLConfig:
    """Return the stock Qwen3-VL configuration at tiny sizes.

    Args:
        tokenizer: The tokenizer, for the vocabulary size and the special tokens' ids.

    Returns:
        A configuration whose ``ziprerank`` key says that the weights are still random.
    """
    ids = {
        token: cast(int, tokenizer.token_to_id(token))
        for token in ("<|im_end|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    }
    text: dict[str, Any] = {
        "vocab_size": vocabulary(tokenizer),
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HEAD,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": THETA,
            "mrope_section": SECTIONS,
            "mrope_interleaved": True,
        },
        "eos_token_id": ids["<|im_end|>"],
        "dtype": "bfloat16",
    }
    vision: dict[str, Any] = {
        "depth": VISION_LAYERS,
        "hidden_size": VISION_HIDDEN,
        "num_heads": VISION_HEADS,
        "intermediate_size": VISION_MLP,
        "out_hidden_size": HIDDEN,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": DEEPSTACK,
        "rope_parameters": {"rope_type": "axial", "rope_theta": VISION_THETA},
        "dtype": "bfloat16",
    }
    config: Any = Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        architectures=["Qwen3VLForConditionalGeneration"],
        dtype="bfloat16",
    )
    config.ziprerank = {"scorer": "listwise", "max_side": MAX_SIDE, "random_weights": True}
    return cast(Qwen3VLConfig, config)


def preprocessing() -> dict[str, Any]:
    """Return the contents of preprocessor_config.json."""
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen3VLProcessor",
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "do_convert_rgb": True,
        "resample": 3,
        "size": {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS},
    }
