"""Recurrent networks: Elman's, the gated recurrent unit, and long short-term memory.

B sequences, T tokens, I numbers in a layer's input, H in its hidden state, G gates.
Formulas and the order of the gates are those of torch.nn.RNN, GRU and LSTM, whose kernels do the
work in float32 and on GPUs. On a CPU in bfloat16 the loops below do it: the kernel there returns
weight gradients that are wrong by over 20% at hidden size 1,024 (torch 2.13, with AMX units).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from reprise.models.language_model import State, matmul_dtype
from reprise.params.model import ModelParams

Kind = Literal["rnn", "gru", "lstm"]
GATES: dict[Kind, int] = {"rnn": 1, "gru": 3, "lstm": 4}


class RecurrentBody(nn.Module):
    """Layers of one kind, dropout between them."""

    recurrent = True

    def __init__(self, params: ModelParams) -> None:
        super().__init__()
        kind = cast(Kind, params.architecture)
        sizes = pairwise((params.embedding_size, *params.hidden_sizes))
        self.layers = nn.ModuleList(RecurrentLayer(kind, *pair) for pair in sizes)
        self.dropout = nn.Dropout(params.hidden_dropout)

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
    """One layer over all T tokens; its state is (hidden,), for lstm (hidden, cell), each (B, H)."""

    def __init__(self, kind: Kind, input_size: int, hidden_size: int) -> None:
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

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if state is None:
            zeros = inputs.new_zeros(len(inputs), self.hidden_weight.shape[1], dtype=torch.float32)
            state = (zeros, zeros) if self.kind == "lstm" else (zeros,)
        if inputs.is_cpu and matmul_dtype(inputs) != torch.float32:
            return self._loop(inputs, state)
        return self._kernel(inputs, state)

    def _kernel(
        self, inputs: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        weights: list[Tensor] = [
            self.input_weight,
            self.hidden_weight,
            self.input_bias,
            self.hidden_bias,
        ]
        first = tuple(tensor.unsqueeze(0).to(inputs.dtype) for tensor in state)
        options = (
            True,
            1,
            0.0,
            torch.is_grad_enabled(),
            False,
            True,
        )  # biases, layers, dropout, gradients wanted, both directions, B first
        if self.kind == "lstm":
            outputs, *last = torch.lstm(inputs, first, weights, *options)
        else:
            kernel = torch.gru if self.kind == "gru" else torch.rnn_tanh
            outputs, *last = kernel(inputs, first[0], weights, *options)
        return outputs, tuple(tensor.squeeze(0).float() for tensor in last)

    def _loop(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        if self.kind == "lstm":
            outputs, hidden, cell = _LstmLoop.apply(  # type: ignore[no-untyped-call]
                inputs,
                *state,
                self.input_weight,
                self.hidden_weight,
                self.input_bias + self.hidden_bias,
                matmul_dtype(inputs),
            )
            return outputs, (hidden, cell)
        step = gru_step if self.kind == "gru" else rnn_step
        from_inputs = nn.functional.linear(inputs, self.input_weight, self.input_bias).float()
        hidden, outputs = state[0], []
        for token in from_inputs.unbind(1):
            from_hidden = nn.functional.linear(hidden, self.hidden_weight, self.hidden_bias)
            hidden = step(token, from_hidden.float(), hidden)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), (hidden,)


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
    Products in `dtype`, everything else in float32. The products with the weights' gradients are
    taken over all T tokens at once, which is why this is faster than autograd over single steps.
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
        B, T, _ = inputs.shape
        H = hidden.shape[1]
        with torch.autocast(inputs.device.type, enabled=False):
            inputs_low = inputs.transpose(0, 1).reshape(T * B, -1).to(dtype)
            input_weight_low, hidden_weight_low = input_weight.to(dtype), hidden_weight.to(dtype)
            sums = torch.addmm(bias.to(dtype), inputs_low, input_weight_low.t()).view(T, B, 4 * H)
            recurrent = hidden_weight_low.t()  # (H, 4H)
            gates = torch.empty(T, B, 4 * H)  # i, f, g, o after their functions
            cells = torch.empty(T + 1, B, H)
            hiddens = torch.empty(T + 1, B, H, dtype=dtype)
            squashed = torch.empty(T, B, H)  # tanh(c')
            cells[0], hiddens[0] = cell, hidden
            for t in range(T):
                gate = gates[t]
                gate.copy_(torch.addmm(sums[t], hiddens[t], recurrent))
                gate[:, : 2 * H].sigmoid_()
                gate[:, 2 * H : 3 * H].tanh_()
                gate[:, 3 * H :].sigmoid_()
                i, f, g, o = gate.chunk(4, dim=1)
                torch.mul(f, cells[t], out=cells[t + 1]).addcmul_(i, g)
                torch.tanh(cells[t + 1], out=squashed[t])
                hiddens[t + 1] = o * squashed[t]
        ctx.save_for_backward(
            inputs_low, gates, cells, hiddens, squashed, input_weight_low, hidden_weight_low
        )
        ctx.input_dtype = inputs.dtype
        outputs = hiddens[1:].transpose(0, 1)
        return outputs, hiddens[T].float(), cells[T].clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        inputs, gates, cells, hiddens, squashed, input_weight, hidden_weight = ctx.saved_tensors
        T, B, H = squashed.shape
        output_gradient = outer[0].transpose(0, 1)
        hidden_gradient, cell_gradient = outer[1].clone(), outer[2].clone()
        dtype = inputs.dtype
        with torch.autocast(inputs.device.type, enabled=False):
            sums_gradient = torch.empty(T, B, 4 * H, dtype=dtype)
            for t in reversed(range(T)):
                i, f, g, o = gates[t].chunk(4, dim=1)
                hidden_gradient = hidden_gradient + output_gradient[t]
                squash = squashed[t]
                cell_gradient = cell_gradient.addcmul(hidden_gradient * o, 1 - squash * squash)
                row = sums_gradient[t]
                row[:, :H] = cell_gradient * g * (i * (1 - i))
                row[:, H : 2 * H] = cell_gradient * cells[t] * (f * (1 - f))
                row[:, 2 * H : 3 * H] = cell_gradient * i * (1 - g * g)
                row[:, 3 * H :] = hidden_gradient * squash * (o * (1 - o))
                hidden_gradient = (row @ hidden_weight).float()
                cell_gradient = cell_gradient * f
            flat = sums_gradient.view(T * B, 4 * H)
            input_gradient = (flat @ input_weight).view(T, B, -1).transpose(0, 1)
            return (
                input_gradient.to(ctx.input_dtype),
                hidden_gradient,
                cell_gradient,
                (flat.t() @ inputs).float(),
                (flat.t() @ hiddens[:-1].reshape(T * B, H)).float(),
                flat.float().sum(0),
                None,
            )
