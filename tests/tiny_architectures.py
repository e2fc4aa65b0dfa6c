"""Tiny random models of many architectures, one entry each, as data for a conformance suite.

An entry says which configuration class of transformers to fill with what; nothing is built, and
neither torch nor transformers does any work, before `made` is called.

Sizes are distinct primes where the configurations allow it (many want an even number of units in a
head). Patterns of layers hold every kind of layer that the architecture knows, sliding windows and
chunks are a few tokens long, and multipliers and caps are far from where they would do nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import transformers

from tiny_models import BOS, EOS, N_TOKENS, quietly

Kind = Literal[
    "attention",
    "sliding-window",
    "chunked-attention",
    "cross-attention",
    "state-space",
    "recurrent",
    "convolution",
    "hybrid",
    "mixture-of-experts",
    "multimodal",
    "encoder",
]

LIMIT = 211  # tokens
WINDOW = 5  # tokens
SCALE = 0.3  # standard deviation of the entries of matrices
NOISE = 0.2  # of biases, norms and other vectors


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One architecture and how to make a tiny model of it.

    Parameters
    ----------
    name : str
        The model type in transformers; ``-text`` follows for the text half of a multimodal one, and
        the variant's name for one of several.
    config_class : str
        Name of the configuration class in transformers.
    settings : mapping
        What the configuration is made with.
    parts : mapping
        Settings of a multimodal configuration's parts: the name of the argument, then the name of
        the class and its settings.
    body_class : str, optional
        Name of the class of the body, where `transformers.AutoModel` does not know the
        configuration.
    n_layers, width : int
        Number of blocks, and of units in the residual stream.
    kinds : tuple of str
        What the blocks are made of.
    uncalled : tuple of int
        Blocks, counted from 0, that a forward pass over text alone passes by.
    streams : int
        How many residual streams a block gives; several make the first axis of its output.
    runs_in_bfloat16 : bool
        Whether transformers can run it at that dtype on a CPU.
    remark : str
        What else is peculiar about it.
    """

    name: str
    config_class: str
    settings: Mapping[str, Any]
    parts: Mapping[str, tuple[str, Mapping[str, Any]]]
    body_class: str | None
    n_layers: int
    width: int
    kinds: tuple[Kind, ...]
    uncalled: tuple[int, ...]
    streams: int
    runs_in_bfloat16: bool
    remark: str

    def config(self) -> Any:
        """Return a new configuration."""
        parts = {name: _config(*part) for name, part in self.parts.items()}
        return _config(self.config_class, {**self.settings, **parts})


def _config(config_class: str, settings: Mapping[str, Any]) -> Any:
    # configurations keep and change the lists and dicts that they are given
    return getattr(transformers, config_class)(
        **{key: _copied(value) for key, value in settings.items()}
    )


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def made(name: str, *, seed: int = 7, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """Return the body of a tiny model in eval mode; the same weights at every dtype, up to rounding.

    Biases and norms are randomized as well, so that a check cannot pass because they do nothing.
    """
    architecture = ARCHITECTURES[name]
    with quietly(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = _body(architecture, torch.float32)
        with torch.no_grad():
            _randomize(body)
        if dtype != torch.float32:
            # not body.to(dtype), which would round rotary frequencies as loading does not
            rounded = _body(architecture, dtype)
            rounded.load_state_dict(body.state_dict())
            body = rounded
    return body


def _body(architecture: Architecture, dtype: torch.dtype) -> torch.nn.Module:
    config = architecture.config()
    if architecture.body_class is None:
        body = transformers.AutoModel.from_config(config, dtype=dtype)
    else:
        body = getattr(transformers, architecture.body_class)._from_config(config, dtype=dtype)
    assert isinstance(body, torch.nn.Module)
    return body.eval()


def _randomize(body: torch.nn.Module) -> None:
    for name, parameter in body.named_parameters():
        if parameter.ndim < 2 or 1 in (parameter.shape[0], parameter.shape[-1]):
            parameter.add_(NOISE * torch.randn_like(parameter))
        elif not name.endswith("A_log"):
            deviation = parameter.std()
            if deviation == 0:
                parameter.add_(SCALE * torch.randn_like(parameter))
            elif deviation < SCALE:
                parameter.mul_(SCALE / deviation)
    for name, buffer in body.named_buffers():
        if name.endswith(("e_score_correction_bias", "layer_scalar")):
            buffer.add_(NOISE * torch.randn_like(buffer))


SPECIAL = {"vocab_size": N_TOKENS, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": None}
USUAL = {
    **SPECIAL,
    "intermediate_size": 31,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": LIMIT,
    "initializer_range": SCALE,
    "tie_word_embeddings": False,
}
# grouped matrix products want strides of a multiple of 16 bytes, so widths of a multiple of 8 (bfloat16)
OF_EXPERTS = {"num_experts_per_tok": 2, "intermediate_size": 40}
FEW_EXPERTS = {"num_local_experts": 5, **OF_EXPERTS}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"


def _alternating(first: str, second: str, n_layers: int) -> list[str]:
    return [(first, second)[layer % 2] for layer in range(n_layers)]


def _entry(
    name: str,
    config_class: str,
    n_layers: int,
    width: int,
    /,
    *kinds: Kind,
    body_class: str | None = None,
    parts: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None,
    uncalled: tuple[int, ...] = (),
    streams: int = 1,
    runs_in_bfloat16: bool = True,
    remark: str = "",
    **settings: Any,
) -> Architecture:
    """Return an entry with these settings and no others."""
    return Architecture(
        name=name,
        config_class=config_class,
        settings=settings,
        parts=parts or {},
        body_class=body_class,
        n_layers=n_layers,
        width=width,
        kinds=kinds,
        uncalled=uncalled,
        streams=streams,
        runs_in_bfloat16=runs_in_bfloat16,
        remark=remark,
    )


def _usual(
    name: str, config_class: str, n_layers: int, width: int, /, *kinds: Kind, **settings: Any
) -> Architecture:
    """Return an entry of the usual names of settings; some are told again, or more besides."""
    sizes = {"num_hidden_layers": n_layers, "hidden_size": width}
    return _entry(name, config_class, n_layers, width, *kinds, **{**USUAL, **sizes, **settings})


GEMMA3_TEXT = {
    **USUAL,
    "num_hidden_layers": 5,
    "hidden_size": 22,
    "head_dim": 6,
    "sliding_window": WINDOW,
    "query_pre_attn_scalar": 7,
    "layer_types": _alternating(SLIDING, FULL, 5),
}
GEMMA3_PARTS = {
    "text_config": ("Gemma3TextConfig", GEMMA3_TEXT),
    "vision_config": (
        "SiglipVisionConfig",
        {
            "hidden_size": 14,
            "intermediate_size": 17,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 8,
            "patch_size": 4,
        },
    ),
}
MLLAMA_TEXT = {
    **USUAL,
    "num_hidden_layers": 5,
    "hidden_size": 28,
    "cross_attention_layers": [1, 3],
    "pad_token_id": 0,
}
MLLAMA_PARTS = {
    "text_config": ("MllamaTextConfig", MLLAMA_TEXT),
    "vision_config": (
        "MllamaVisionConfig",
        {
            "hidden_size": 14,
            "intermediate_size": 17,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "vision_output_dim": 28,
            "image_size": 8,
            "patch_size": 4,
            "intermediate_layers_indices": [0],
        },
    ),
}

DECODERS = [
    # attention, no positions but rotary ones
    _usual("llama", "LlamaConfig", 5, 26, "attention", head_dim=6),
    _usual("gemma", "GemmaConfig", 3, 22, "attention", head_dim=6),
    _usual("qwen2", "Qwen2Config", 3, 20, "attention"),
    _usual("qwen3", "Qwen3Config", 3, 23, "attention", head_dim=6),
    _usual("olmo", "OlmoConfig", 3, 28, "attention", clip_qkv=2.0),
    _usual("olmo2", "Olmo2Config", 3, 28, "attention"),
    _usual("cohere", "CohereConfig", 3, 28, "attention", use_qk_norm=True),
    _usual(
        "granite",
        "GraniteConfig",
        3,
        28,
        "attention",
        embedding_multiplier=3.0,
        residual_multiplier=0.7,
        attention_multiplier=0.4,
    ),
    _usual("smollm3", "SmolLM3Config", 5, 20, "attention", no_rope_layers=[1, 0, 1, 0, 1]),
    _usual("nemotron", "NemotronConfig", 3, 23, "attention", head_dim=8),
    _usual("stablelm", "StableLmConfig", 3, 32, "attention", use_qkv_bias=True, qk_layernorm=True),
    _usual("stablelm-parallel", "StableLmConfig", 3, 32, "attention", use_parallel_residual=True),
    _usual("glm4", "Glm4Config", 3, 23, "attention", head_dim=8),
    _usual("ernie4_5", "Ernie4_5Config", 3, 29, "attention", head_dim=6, use_bias=True),
    _usual("hunyuan_v1_dense", "HunYuanDenseV1Config", 3, 29, "attention", head_dim=6),
    _usual("arcee", "ArceeConfig", 3, 26, "attention", head_dim=6),
    _usual("seed_oss", "SeedOssConfig", 3, 29, "attention", head_dim=6),
    _usual(
        "apertus",
        "ApertusConfig",
        3,
        20,
        "attention",
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    _usual("phi", "PhiConfig", 3, 24, "attention", qk_layernorm=True),
    _usual("persimmon", "PersimmonConfig", 3, 24, "attention"),
    _usual("gpt_neox", "GPTNeoXConfig", 3, 32, "attention"),
    _usual("gpt_neox-sequential", "GPTNeoXConfig", 3, 32, "attention", use_parallel_residual=False),
    _entry(
        "gptj",
        "GPTJConfig",
        3,
        26,
        "attention",
        **SPECIAL,
        n_embd=26,
        n_layer=3,
        n_head=2,
        n_positions=LIMIT,
        rotary_dim=4,
    ),
    _entry(
        "codegen",
        "CodeGenConfig",
        3,
        28,
        "attention",
        **SPECIAL,
        n_embd=28,
        n_layer=3,
        n_head=4,
        n_positions=LIMIT,
        n_ctx=LIMIT,
        rotary_dim=4,
    ),
    _usual("falcon-7b", "FalconConfig", 3, 28, "attention", multi_query=True, parallel_attn=True),
    _usual(
        "falcon-40b",
        "FalconConfig",
        3,
        28,
        "attention",
        new_decoder_architecture=True,
        num_kv_heads=1,
    ),
    _usual(
        "falcon-alibi",
        "FalconConfig",
        3,
        28,
        "attention",
        alibi=True,
        multi_query=False,
        parallel_attn=False,
        bias=True,
    ),
    # attention, positions learned or by slopes
    _entry(
        "gpt2",
        "GPT2Config",
        3,
        34,
        "attention",
        **SPECIAL,
        n_embd=34,
        n_layer=3,
        n_head=2,
        n_positions=LIMIT,
    ),
    _entry(
        "gpt_bigcode",
        "GPTBigCodeConfig",
        3,
        26,
        "attention",
        **SPECIAL,
        n_embd=26,
        n_layer=3,
        n_head=2,
        n_positions=LIMIT,
    ),
    _usual("opt", "OPTConfig", 3, 26, "attention", ffn_dim=31, word_embed_proj_dim=26),
    _usual(
        "opt-350m",
        "OPTConfig",
        3,
        26,
        "attention",
        ffn_dim=31,
        word_embed_proj_dim=17,
        do_layer_norm_before=False,
        remark="what the body returns is narrower than its blocks' outputs",
    ),
    _usual("biogpt", "BioGptConfig", 3, 26, "attention", pad_token_id=0),
    _entry(
        "xglm",
        "XGLMConfig",
        3,
        26,
        "attention",
        **{**SPECIAL, "pad_token_id": 0},
        d_model=26,
        ffn_dim=31,
        num_layers=3,
        attention_heads=2,
        max_position_embeddings=LIMIT,
    ),
    _entry("bloom", "BloomConfig", 3, 26, "attention", **SPECIAL, hidden_size=26, n_layer=3, n_head=2),
    _entry(
        "mpt",
        "MptConfig",
        3,
        26,
        "attention",
        **SPECIAL,
        d_model=26,
        n_layers=3,
        n_heads=2,
        expansion_ratio=2,
        max_seq_len=LIMIT,
    ),
    # windows and chunks
    _usual("mistral", "MistralConfig", 3, 26, "sliding-window", head_dim=6, sliding_window=WINDOW),
    _usual(
        "phi3",
        "Phi3Config",
        3,
        28,
        "sliding-window",
        sliding_window=WINDOW,
        original_max_position_embeddings=LIMIT,
    ),
    _usual("starcoder2", "Starcoder2Config", 3, 28, "sliding-window", sliding_window=WINDOW),
    _usual(
        "gemma2",
        "Gemma2Config",
        5,
        22,
        "attention",
        "sliding-window",
        head_dim=6,
        sliding_window=WINDOW,
        layer_types=_alternating(SLIDING, FULL, 5),
        query_pre_attn_scalar=2,
        attn_logit_softcapping=1.5,
        final_logit_softcapping=3.0,
    ),
    _entry("gemma3-text", "Gemma3TextConfig", 5, 22, "attention", "sliding-window", **GEMMA3_TEXT),
    _entry(
        "gemma3",
        "Gemma3Config",
        5,
        22,
        "attention",
        "sliding-window",
        "multimodal",
        parts=GEMMA3_PARTS,
        mm_tokens_per_image=1,
        boi_token_index=N_TOKENS,
        eoi_token_index=N_TOKENS + 1,
        image_token_index=N_TOKENS + 2,
    ),
    _usual(
        "gemma3n-text",
        "Gemma3nTextConfig",
        5,
        22,
        "attention",
        "sliding-window",
        head_dim=6,
        sliding_window=WINDOW,
        layer_types=_alternating(SLIDING, FULL, 5),
        num_kv_shared_layers=2,
        laurel_rank=3,
        hidden_size_per_layer_input=7,
        vocab_size_per_layer_input=N_TOKENS,
        altup_num_inputs=3,
        activation_sparsity_pattern=[0.5, 0.5, 0.0, 0.0, 0.0],
        pad_token_id=0,
        streams=3,
    ),
    _usual(
        "gemma4-text",
        "Gemma4TextConfig",
        5,
        22,
        "attention",
        "sliding-window",
        head_dim=6,
        sliding_window=WINDOW,
        layer_types=_alternating(FULL, SLIDING, 5),
        hidden_size_per_layer_input=7,
        vocab_size_per_layer_input=N_TOKENS,
        num_kv_shared_layers=2,
        pad_token_id=0,
    ),
    _usual(
        "cohere2",
        "Cohere2Config",
        5,
        28,
        "attention",
        "sliding-window",
        head_dim=14,
        sliding_window=WINDOW,
        layer_types=_alternating(SLIDING, FULL, 5),
    ),
    _usual(
        "exaone4",
        "Exaone4Config",
        5,
        28,
        "attention",
        "sliding-window",
        sliding_window=WINDOW,
        sliding_window_pattern=2,
        layer_types=_alternating(SLIDING, FULL, 5),
    ),
    _usual(
        "olmo3",
        "Olmo3Config",
        5,
        28,
        "attention",
        "sliding-window",
        sliding_window=WINDOW,
        layer_types=_alternating(SLIDING, FULL, 5),
    ),
    _entry(
        "gpt_neo",
        "GPTNeoConfig",
        5,
        26,
        "attention",
        "sliding-window",
        **SPECIAL,
        hidden_size=26,
        num_layers=5,
        num_heads=2,
        intermediate_size=31,
        max_position_embeddings=LIMIT,
        attention_types=[[["global", "local"], 2], [["global"], 1]],
        window_size=WINDOW,
    ),
    _usual(
        "llama4-text",
        "Llama4TextConfig",
        5,
        23,
        "attention",
        "chunked-attention",
        "mixture-of-experts",
        head_dim=6,
        intermediate_size_mlp=37,
        num_local_experts=5,
        num_experts_per_tok=1,
        interleave_moe_layer_step=2,
        no_rope_layers=[1, 0, 1, 0, 1],
        attention_chunk_size=WINDOW,
        floor_scale=7,
        attn_scale=0.5,
    ),
    # cross-attention to images
    _entry(
        "mllama-text",
        "MllamaTextConfig",
        5,
        28,
        "attention",
        "cross-attention",
        body_class="MllamaTextModel",
        uncalled=(1, 3),
        **MLLAMA_TEXT,
    ),
    _entry(
        "mllama",
        "MllamaConfig",
        5,
        28,
        "attention",
        "cross-attention",
        "multimodal",
        parts=MLLAMA_PARTS,
        uncalled=(1, 3),
        image_token_index=N_TOKENS,
    ),
    # mixtures of experts
    _usual("mixtral", "MixtralConfig", 3, 24, "mixture-of-experts", **FEW_EXPERTS),
    _usual(
        "gpt_oss",
        "GptOssConfig",
        5,
        24,
        "attention",
        "sliding-window",
        "mixture-of-experts",
        head_dim=6,
        **FEW_EXPERTS,
        sliding_window=WINDOW,
        layer_types=_alternating(SLIDING, FULL, 5),
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    _usual(
        "qwen2_moe",
        "Qwen2MoeConfig",
        5,
        24,
        "attention",
        "mixture-of-experts",
        **EXPERTS,
        num_experts=5,
        shared_expert_intermediate_size=13,
        decoder_sparse_step=2,
    ),
    _usual(
        "qwen3_moe",
        "Qwen3MoeConfig",
        5,
        24,
        "attention",
        "mixture-of-experts",
        **EXPERTS,
        head_dim=6,
        num_local_experts=5,
        decoder_sparse_step=2,
    ),
    _usual("olmoe", "OlmoeConfig", 3, 24, "mixture-of-experts", num_experts=5, **OF_EXPERTS),
    _usual(
        "granitemoe",
        "GraniteMoeConfig",
        3,
        24,
        "mixture-of-experts",
        **FEW_EXPERTS,
        embedding_multiplier=3.0,
        residual_multiplier=0.7,
        attention_multiplier=0.4,
    ),
    _usual(
        "phimoe",
        "PhimoeConfig",
        3,
        24,
        "mixture-of-experts",
        **FEW_EXPERTS,
        attention_bias=True,
    ),
    _entry(
        "dbrx",
        "DbrxConfig",
        3,
        24,
        "mixture-of-experts",
        **SPECIAL,
        d_model=24,
        n_layers=3,
        n_heads=2,
        max_seq_len=LIMIT,
        attn_config={"kv_n_heads": 1, "clip_qkv": 2.0, "rope_theta": 10000.0},
        ffn_config={"ffn_hidden_size": 16, "moe_num_experts": 5, "moe_top_k": 2},
    ),
    _usual(
        "deepseek_v2",
        "DeepseekV2Config",
        3,
        24,
        "attention",
        "mixture-of-experts",
        **EXPERTS,
        num_key_value_heads=2,
        first_k_dense_replace=1,
        kv_lora_rank=6,
        q_lora_rank=11,
        qk_nope_head_dim=6,
        qk_rope_head_dim=4,
        v_head_dim=3,
        n_routed_experts=6,
        n_shared_experts=1,
        n_group=3,
        topk_group=2,
        topk_method="group_limited_greedy",
    ),
    _usual(
        "deepseek_v3",
        "DeepseekV3Config",
        3,
        24,
        "attention",
        "mixture-of-experts",
        **EXPERTS,
        num_key_value_heads=2,
        first_k_dense_replace=1,
        kv_lora_rank=6,
        q_lora_rank=11,
        qk_nope_head_dim=6,
        qk_rope_head_dim=4,
        v_head_dim=3,
        n_routed_experts=6,
        n_shared_experts=1,
        n_group=3,
        topk_group=2,
    ),
    # state spaces and recurrences
    _entry(
        "mamba",
        "MambaConfig",
        3,
        19,
        "state-space",
        **SPECIAL,
        hidden_size=19,
        num_hidden_layers=3,
        state_size=3,
        conv_kernel=3,
        time_step_rank=2,
    ),
    _entry(
        "falcon_mamba",
        "FalconMambaConfig",
        3,
        23,
        "state-space",
        **SPECIAL,
        hidden_size=23,
        num_hidden_layers=3,
        state_size=3,
        conv_kernel=3,
        time_step_rank=2,
    ),
    _entry(
        "mamba2",
        "Mamba2Config",
        3,
        26,
        "state-space",
        **SPECIAL,
        hidden_size=26,
        num_hidden_layers=3,
        state_size=3,
        conv_kernel=3,
        num_heads=4,
        head_dim=13,
        n_groups=2,
        chunk_size=7,
    ),
    _entry(
        "rwkv",
        "RwkvConfig",
        5,
        26,
        "recurrent",
        **SPECIAL,
        hidden_size=26,
        attention_hidden_size=26,
        intermediate_size=31,
        num_hidden_layers=5,
        context_length=LIMIT,
        rescale_every=2,
        remark="the first forward pass in eval mode rescales the weights; the body halves what every "
        "second block gives before it hands it on",
    ),
    _entry(
        "xlstm",
        "xLSTMConfig",
        3,
        32,
        "recurrent",
        **SPECIAL,
        hidden_size=32,
        num_hidden_layers=3,
        num_heads=2,
        chunk_size=16,
        runs_in_bfloat16=False,
    ),
    # hybrids
    _usual(
        "recurrent_gemma",
        "RecurrentGemmaConfig",
        5,
        24,
        "hybrid",
        "recurrent",
        "sliding-window",
        lru_width=24,
        attention_window_size=WINDOW,
        pad_token_id=0,
    ),
    _usual(
        "jamba",
        "JambaConfig",
        5,
        24,
        "hybrid",
        "attention",
        "state-space",
        "mixture-of-experts",
        num_experts=5,
        **OF_EXPERTS,
        attn_layer_period=3,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        mamba_d_state=3,
        mamba_d_conv=3,
        mamba_dt_rank=2,
    ),
    _usual(
        "bamba",
        "BambaConfig",
        5,
        26,
        "hybrid",
        "attention",
        "state-space",
        attn_layer_indices=[1, 3],
        mamba_n_heads=4,
        mamba_d_head=13,
        mamba_d_state=3,
        mamba_d_conv=3,
        mamba_chunk_size=7,
    ),
    _usual(
        "zamba",
        "ZambaConfig",
        5,
        26,
        "hybrid",
        "attention",
        "state-space",
        num_key_value_heads=2,
        tie_word_embeddings=True,  # and with them the transformer in the hybrid blocks
        layers_block_type=_alternating(LINEAR, "hybrid", 5),
        mamba_d_state=3,
        mamba_d_conv=3,
        mamba_dt_rank=2,
    ),
    _usual(
        "zamba2",
        "Zamba2Config",
        5,
        26,
        "hybrid",
        "attention",
        "state-space",
        num_key_value_heads=2,
        tie_word_embeddings=True,  # and with them the transformer in the hybrid blocks
        layers_block_type=_alternating(LINEAR, "hybrid", 5),
        mamba_d_state=3,
        mamba_d_conv=3,
        n_mamba_heads=4,
        chunk_size=7,
        use_mem_rope=True,
        use_shared_attention_adapter=True,
        adapter_rank=3,
    ),
    _usual(
        "falcon_h1",
        "FalconH1Config",
        3,
        28,
        "hybrid",
        "attention",
        "state-space",
        mamba_d_ssm=26,
        mamba_n_heads=2,
        mamba_d_head=13,
        mamba_d_state=3,
        mamba_d_conv=3,
        mamba_chunk_size=7,
        embedding_multiplier=3.0,
        attention_out_multiplier=0.7,
        ssm_out_multiplier=1.3,
        mlp_multipliers=[1.3, 0.7],
        ssm_multipliers=[1.3, 0.7, 1.1, 0.9, 1.2],
    ),
    _usual(
        "nemotron_h",
        "NemotronHConfig",
        5,
        24,
        "hybrid",
        "attention",
        "state-space",
        "mixture-of-experts",
        layers_block_type=[LINEAR, "moe", FULL, "mlp", LINEAR],
        head_dim=7,
        ssm_state_size=3,
        mamba_num_heads=4,
        mamba_head_dim=12,
        n_groups=2,
        conv_kernel=3,
        chunk_size=7,
        n_routed_experts=5,
        **EXPERTS,
        moe_shared_expert_intermediate_size=19,
    ),
    _usual(
        "qwen3_next",
        "Qwen3NextConfig",
        5,
        24,
        "hybrid",
        "attention",
        "recurrent",
        "mixture-of-experts",
        **EXPERTS,
        head_dim=8,
        num_experts=5,
        shared_expert_intermediate_size=13,
        layer_types=_alternating(LINEAR, FULL, 5),
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=3,
        linear_value_head_dim=5,
        linear_conv_kernel_dim=3,
    ),
    _usual(
        "qwen3_5-text",
        "Qwen3_5TextConfig",
        5,
        26,
        "hybrid",
        "attention",
        "recurrent",
        head_dim=8,
        layer_types=_alternating(LINEAR, FULL, 5),
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=3,
        linear_value_head_dim=5,
        linear_conv_kernel_dim=3,
    ),
    _usual(
        "olmo_hybrid",
        "OlmoHybridConfig",
        5,
        28,
        "hybrid",
        "attention",
        "recurrent",
        layer_types=_alternating(LINEAR, FULL, 5),
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=3,
        linear_value_head_dim=5,
        linear_conv_kernel_dim=3,
    ),
    _usual(
        "minimax",
        "MiniMaxConfig",
        5,
        24,
        "hybrid",
        "attention",
        "recurrent",
        "mixture-of-experts",
        head_dim=6,
        **FEW_EXPERTS,
        layer_types=_alternating(LINEAR, FULL, 5),
        block_size=7,
        full_attn_alpha_factor=1.3,
        linear_attn_beta_factor=0.7,
        mlp_alpha_factor=0.9,
    ),
    _usual(
        "lfm2",
        "Lfm2Config",
        5,
        28,
        "hybrid",
        "attention",
        "convolution",
        full_attn_idxs=[1, 3],
        block_auto_adjust_ff_dim=False,
    ),
]
ENCODERS = [
    _usual("bert", "BertConfig", 3, 26, "encoder", pad_token_id=0),
    _usual("roberta", "RobertaConfig", 3, 26, "encoder", pad_token_id=0),
    _usual("xlm-roberta", "XLMRobertaConfig", 3, 26, "encoder", pad_token_id=0),
    _usual("electra", "ElectraConfig", 3, 26, "encoder", embedding_size=13, pad_token_id=0),
    _usual("mpnet", "MPNetConfig", 3, 26, "encoder", pad_token_id=0),
    _entry(
        "distilbert",
        "DistilBertConfig",
        3,
        26,
        "encoder",
        **{**SPECIAL, "pad_token_id": 0},
        dim=26,
        hidden_dim=31,
        n_layers=3,
        n_heads=2,
        max_position_embeddings=LIMIT,
    ),
    _usual(
        "modernbert",
        "ModernBertConfig",
        5,
        28,
        "encoder",
        "attention",
        "sliding-window",
        pad_token_id=0,
        cls_token_id=BOS,
        sep_token_id=EOS,
        local_attention=2 * WINDOW,
        layer_types=_alternating(FULL, SLIDING, 5),
    ),
    _usual(
        "deberta-v2",
        "DebertaV2Config",
        3,
        26,
        "encoder",
        pad_token_id=0,
        relative_attention=True,
        position_buckets=7,
        max_relative_positions=11,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
    ),
]

ARCHITECTURES: dict[str, Architecture] = {entry.name: entry for entry in [*DECODERS, *ENCODERS]}
