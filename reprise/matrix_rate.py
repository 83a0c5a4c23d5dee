"""What a device can do at its best: operations a second in products of matrices, measured."""

import itertools
import time

import torch

SIZES = (512, 1024, 2048, 4096, 8192)  # a CPU is fastest with the middle ones, a GPU with the last
REPEATS = 5  # of each size, the best of which counts
SECONDS = 0.4  # no size is begun that would end later


def matrix_rate(device: torch.device, precision: str) -> float:
    """Floating-point operations a second: the best of some products of square matrices, in `fp32`
    or `bf16` as torch is set. Leaves torch's random state alone."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    module = torch.get_device_module(device)
    generator = torch.Generator(device).manual_seed(0)  # zeros would be faster than numbers
    torch.ones(8, 8, device=device, dtype=dtype).mm(torch.ones(8, 8, device=device, dtype=dtype))
    module.synchronize()  # a GPU's first work takes half a second
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
        last_on_gpu = device.type != "cpu" and size == SIZES[-1]  # until its clocks are up
        for number in itertools.count():
            if number == REPEATS and not last_on_gpu:
                break
            module.synchronize()
            began = time.perf_counter()
            torch.mm(one, other, out=product)
            module.synchronize()
            now = time.perf_counter()
            best = max(best, operations / (now - began))
            if now > end:
                break
    if device.type in ("cuda", "xpu"):
        module.reset_peak_memory_stats(device)  # these matrices are no part of training
    return best
