"""What a device can do at its best: operations a second in products of matrices, measured."""

import time

import torch

SIZES = (512, 1024, 2048, 4096, 8192)  # a CPU is fastest with the middle ones, a GPU with the last
REPEATS = 5  # of each size, the best of which counts
SECONDS = 0.4  # no size is begun that would end later


def matrix_rate(device: torch.device, precision: str) -> float:
    """Floating-point operations a second: the best of some products of square matrices, in `fp32`
    or `bf16` as torch is set. Leaves torch's random state and its figure of peak memory alone."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    module = torch.get_device_module(device)
    generator = torch.Generator(device).manual_seed(0)  # zeros would be faster than numbers
    end, best = time.perf_counter() + SECONDS, 0.0
    for size in SIZES:
        operations = 2 * size**3
        if best and time.perf_counter() + 2 * operations / best > end:
            break
        one, other = (
            torch.rand(size, size, device=device, dtype=dtype, generator=generator)
            for _ in range(2)
        )
        product = one @ other  # chooses the kernel
        for _ in range(REPEATS):
            module.synchronize()
            began = time.perf_counter()
            torch.mm(one, other, out=product)
            module.synchronize()
            now = time.perf_counter()
            best = max(best, operations / (now - began))
            if now > end:
                break
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)  # these matrices are no part of training
    return best
