"""Recurrent networks: Elman's, the gated recurrent unit, and long short-term memory.

B sequences, T tokens, I numbers in a layer's input, H in its hidden state, G gates.
Formulas and the order of the gates are those of torch.nn.RNN, GRU and LSTM, whose kernels do the
work in float32 and on GPUs. On a CPU in bfloat16 the loops below do it: the kernel there returns
weight gradients that are wrong by over 20% at hidden size 1,024 (torch 2.13, with AMX units).
"""

import functools
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from reprise.models.dropouts import Dropout, place_dropout
from reprise.models.language_model import State, matmul_dtype
from reprise.models.transposing import transposed
from reprise.params.model import GATES, ModelParams

# cuDNN wants all weights in one piece of memory and copies them there, which costs little.
warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")

Kind = Literal["rnn", "gru", "lstm"]
TILE = 32  # numbers in bfloat16, a row of an AMX tile


class RecurrentBody(nn.Module):
    """Layers of one kind, dropout between them."""

    recurrent = True

    def __init__(self, params: ModelParams) -> None:
        super().__init__()
        kind = cast(Kind, params.architecture)
        sizes = pairwise((params.embedding_size, *params.hidden_sizes))
        self.layers = nn.ModuleList(
            RecurrentLayer(kind, *pair, params.weight_dropout) for pair in sizes
        )
        variational = params.variational_dropout
        self.dropout = place_dropout(params.hidden_dropout, variational=variational)

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Inputs (B, T, I), state of each layer -> hidden states (B, T, H), state of each layer."""
        hidden, next_state = inputs, []
        for number, layer in enumerate(self.layers):
            if number:
                hidden = self.dropout(hidden)
            hidden, layer_state = layer(hidden, state[number] if state else None)
            next_state.append(layer_state)
        return hidden, next_state


class RecurrentLayer(nn.Module):
    """One layer over all T tokens; its state is (hidden,), for lstm (hidden, cell), each (B, H).

    Weight dropout, DropConnect of the hidden-to-hidden matrix: one mask a call, for all its tokens;
    Merity, Keskar and Socher 2017, arXiv 1708.02182, section 2.
    """

    def __init__(
        self, kind: Kind, input_size: int, hidden_size: int, weight_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.kind = kind
        rows = GATES[kind] * hidden_size
        self.input_weight = nn.Parameter(torch.empty(rows, input_size))
        self.hidden_weight = nn.Parameter(torch.empty(rows, hidden_size))
        self.input_bias = nn.Parameter(torch.empty(rows))
        self.hidden_bias = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)
        if kind == "lstm":  # remember at first: Jozefowicz et al. 2015, section 2.2
            nn.init.ones_(self.input_bias[hidden_size : 2 * hidden_size])
        self.weight_dropout = Dropout(weight_dropout)

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if state is None:
            zeros = inputs.new_zeros(len(inputs), self.hidden_weight.shape[1], dtype=torch.float32)
            state = (zeros, zeros) if self.kind == "lstm" else (zeros,)
        hidden_weight = self.weight_dropout(self.hidden_weight)
        if inputs.is_cpu and matmul_dtype(inputs) != torch.float32:
            return self._loop(inputs, state, hidden_weight)
        return self._kernel(inputs, state, hidden_weight)

    def _kernel(
        self, inputs: Tensor, state: tuple[Tensor, ...], hidden_weight: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        dtype = matmul_dtype(inputs)
        if dtype == torch.bfloat16 and not (inputs.is_cuda and cudnn_takes_bfloat16()):
            dtype = torch.float32
        weights = (self.input_weight, hidden_weight, self.input_bias, self.hidden_bias)
        # Autocast would take float16, of which small gradients are zero (AutocastRNN.cpp).
        with torch.autocast(inputs.device.type, enabled=False):
            outputs, *last = run_kernel(
                self.kind,
                inputs.to(dtype),
                [tensor.unsqueeze(0).to(dtype) for tensor in state],
                [weight.to(dtype) for weight in weights],
            )
        return outputs, tuple(tensor.squeeze(0).float() for tensor in last)

    def _loop(
        self, inputs: Tensor, state: tuple[Tensor, ...], hidden_weight: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if self.kind == "lstm":
            outputs, hidden, cell = _LstmLoop.apply(  # type: ignore[no-untyped-call]
                inputs,
                *state,
                self.input_weight,
                hidden_weight,
                self.input_bias + self.hidden_bias,
                matmul_dtype(inputs),
            )
            return outputs, (hidden, cell)
        step = gru_step if self.kind == "gru" else rnn_step
        from_inputs = nn.functional.linear(inputs, self.input_weight, self.input_bias).float()
        hidden_weight = hidden_weight.to(matmul_dtype(inputs))  # once, not for each token
        hidden, outputs = state[0], []
        for token in from_inputs.unbind(1):
            from_hidden = nn.functional.linear(hidden, hidden_weight, self.hidden_bias)
            hidden = step(token, from_hidden.float(), hidden)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), (hidden,)


def run_kernel(
    kind: str, inputs: Tensor, state: list[Tensor], weights: list[Tensor]
) -> tuple[Tensor, ...]:
    """torch's own, for a layer: inputs (B, T, I), state (1, B, H) -> outputs (B, T, H), state."""
    # biases, layers, dropout, gradients wanted, both directions, B first
    options = (True, 1, 0.0, torch.is_grad_enabled(), False, True)
    if kind == "lstm":
        return torch.lstm(inputs, state, weights, *options)
    kernel: Callable[..., tuple[Tensor, ...]] = torch.gru if kind == "gru" else torch.rnn_tanh
    return kernel(inputs, state[0], weights, *options)


@functools.cache
def cudnn_takes_bfloat16() -> bool:
    """Whether this GPU's recurrent kernels do, forward and backward; draws nothing at random."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device="cuda", dtype=torch.bfloat16, requires_grad=True)

    weights = [zeros(32, 8), zeros(32, 8), zeros(32), zeros(32)]
    try:
        with torch.autocast("cuda", enabled=False), torch.enable_grad():
            run_kernel("lstm", zeros(1, 2, 8), [zeros(1, 1, 8)] * 2, weights)[0].sum().backward()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return False
    return True


Step = Callable[[Tensor, Tensor, Tensor], Tensor]


def rnn_step(from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
    """Elman 1990: h' = tanh(W x + b + U h + c); both sums (B, H)."""
    return torch.tanh(from_input + from_hidden)


def gru_step(from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
    """Cho et al. 2014, arXiv 1406.1078, with torch's place of the reset gate; sums (B, 3H)."""
    input_reset, input_update, input_new = from_input.chunk(3, dim=1)
    hidden_reset, hidden_update, hidden_new = from_hidden.chunk(3, dim=1)
    reset = torch.sigmoid(input_reset + hidden_reset)
    update = torch.sigmoid(input_update + hidden_update)
    new = torch.tanh(input_new + reset * hidden_new)
    return new + update * (hidden - new)


class _LstmLoop(torch.autograd.Function):
    """Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000), its backward by hand.

    i, f, o = sigmoid and g = tanh of W x + U h + b;  c' = f c + i g;  h' = o tanh(c').
    Products in `dtype`, everything else in float32. All is kept with B last: then the weights are
    the left operand of each token's product, which a CPU's bfloat16 units take as it lies in memory
    (2.7 times as fast, with AMX units), and each gate is one block. W, U and b are one matrix, K
    wide, of rows that fill AMX tiles, so a token needs one product each way; its right operand has
    x over h over a one over zeros. Its gradient is taken over all T tokens at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,  # (B, T, I)
        hidden: Tensor,  # (B, H)
        cell: Tensor,  # (B, H)
        input_weight: Tensor,  # (4H, I)
        hidden_weight: Tensor,  # (4H, H)
        bias: Tensor,  # (4H,)
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        B, T, I = inputs.shape  # noqa: E741
        H = hidden.shape[1]
        used = I + H + 1
        K = -(-used // TILE) * TILE
        with torch.autocast(inputs.device.type, enabled=False):
            weight = torch.zeros(4 * H, K, dtype=dtype)
            weight[:, :I] = input_weight
            weight[:, I : I + H] = hidden_weight
            weight[:, used - 1] = bias
            seen = torch.empty(T + 1, K, B, dtype=dtype)
            seen[:T, :I] = inputs.permute(1, 2, 0)
            seen[0, I : I + H] = hidden.t()
            seen[:, used - 1] = 1
            seen[:, used:] = 0
            gates = torch.empty(T, 4, H, B)  # i, f, g, o after their functions
            cells = torch.empty(T + 1, H, B)
            cells[0] = cell.t()
            squashed = torch.empty(T, H, B)  # tanh(c')
            sums = torch.empty(4 * H, B, dtype=dtype)
            for t in range(T):
                gate, new_cell = gates[t], cells[t + 1]
                torch.mm(weight, seen[t], out=sums)
                gate.copy_(sums.view(4, H, B))
                i, f, g, o = gate
                gate[:2].sigmoid_()
                g.tanh_()
                o.sigmoid_()
                torch.mul(f, cells[t], out=new_cell).addcmul_(i, g)
                torch.tanh(new_cell, out=squashed[t])
                seen[t + 1, I : I + H] = o * squashed[t]
        ctx.sizes = I, inputs.dtype
        ctx.save_for_backward(seen, gates, cells, squashed, weight)
        hiddens = seen[1:, I : I + H]
        outputs = hiddens.transpose(1, 2).contiguous().transpose(0, 1)  # faster than at once
        return outputs, hiddens[-1].t().float(), cells[-1].t().contiguous()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        seen, gates, cells, squashed, weight = ctx.saved_tensors
        T, H, B = squashed.shape
        (I, input_dtype), K = ctx.sizes, weight.shape[1]  # noqa: E741
        output_gradient = outer[0].permute(1, 2, 0).contiguous()
        hidden_gradient, cell_gradient = outer[1].t(), torch.empty(H, B).copy_(outer[2].t())
        from_sigmoid = torch.ops.aten.sigmoid_backward.grad_input  # of its result: no new memory
        from_tanh = torch.ops.aten.tanh_backward.grad_input
        with torch.autocast(seen.device.type, enabled=False):
            by_columns = transposed(weight)
            sums_gradient = torch.empty(T, 4 * H, B, dtype=weight.dtype)
            seen_gradient = torch.empty(T, K, B, dtype=weight.dtype)
            row, part = torch.empty(4, H, B), torch.empty(H, B)
            for t in reversed(range(T)):
                gate, squash = gates[t], squashed[t]
                i, f, g, o = gate
                hidden_gradient = output_gradient[t] + hidden_gradient
                torch.mul(hidden_gradient, o, out=part)
                cell_gradient += from_tanh(part, squash, grad_input=part)
                torch.mul(cell_gradient, g, out=row[0])
                torch.mul(cell_gradient, cells[t], out=row[1])
                torch.mul(cell_gradient, i, out=row[2])
                torch.mul(hidden_gradient, squash, out=row[3])
                from_sigmoid(row[:2], gate[:2], grad_input=row[:2])
                from_tanh(row[2], g, grad_input=row[2])
                from_sigmoid(row[3], o, grad_input=row[3])
                sums_gradient[t] = row.view(4 * H, B)
                cell_gradient *= f
                torch.mm(by_columns, sums_gradient[t], out=seen_gradient[t])
                hidden_gradient = seen_gradient[t, I : I + H]
            flat = sums_gradient.transpose(0, 1).reshape(4 * H, T * B)
            weight_gradient = flat @ seen[:T].transpose(0, 1).reshape(K, T * B).t()
            return (
                seen_gradient[:, :I].permute(2, 0, 1).to(input_dtype),
                hidden_gradient.t().float(),
                cell_gradient.t(),
                weight_gradient[:, :I].float(),
                weight_gradient[:, I : I + H].float(),
                weight_gradient[:, I + H].float(),
                None,
            )
