"""What a model's forward function raised: out of memory, or something that a user must be told?"""

import torch

SIGNS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What the messages of torch's allocators hold, on CUDA, MPS and the CPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory, of the machine or of the card, ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)
