"""How large a network is and what a token costs it, from its settings alone.

V pieces in the vocabulary, E embedding size, H hidden size, F numbers inside a feedforward network,
A heads, K heads of keys and values, D = H / A. A weight is a number in a matrix that tokens are
multiplied with. Operations are floating-point operations: a multiplication with its addition is
two. Only matrix products count; all else is small beside them.
"""

from itertools import pairwise

from reprise.params.model import ADAPTIVE_SHRINKS_BY, GATES, ModelParams


def parameter_count(params: ModelParams, vocabulary_size: int) -> int:
    """Numbers that are learnt; tied matrices count once."""
    embedding = vocabulary_size * params.embedding_size
    positions = params.positions * params.embedding_size if params.architecture == "gpt2" else 0
    weights = _body_weights(params) + _head_weights(params, vocabulary_size)
    shared = embedding if params.tie_weights else 0
    return embedding + positions + weights - shared + _vectors(params, vocabulary_size)


def flops_per_token(params: ModelParams, vocabulary_size: int, context: int) -> int:
    """Operations of the forward pass for one token that attends to `context` tokens.

    In a window of T tokens `context` is T for each of them: the full square, as torch's
    FlopCounterMode counts it. That tokens see only what is before them would halve the products of
    attention; kernels make use of that more or less. Recurrent networks have no context to pay for.
    With adaptive_cutoffs it is what all V probabilities cost; in training a token needs the first
    group and its own, so that there this is an upper bound.
    """
    weights = _body_weights(params) + _head_weights(params, vocabulary_size)
    keys_and_values = 0 if params.recurrent else 2 * params.layers * context * params.embedding_size
    return 2 * (weights + keys_and_values)


def training_flops_per_token(params: ModelParams, vocabulary_size: int, context: int) -> int:
    """Forward and backward: each product has two gradients, each as dear as the product."""
    return 3 * flops_per_token(params, vocabulary_size, context)


def _body_weights(params: ModelParams) -> int:
    if params.recurrent:
        sizes = pairwise((params.embedding_size, *params.hidden_sizes))
        gates = GATES[params.architecture]
        return sum(gates * hidden * (inputs + hidden) for inputs, hidden in sizes)
    size = params.embedding_size
    head_size = size // params.heads
    attention = size * (params.heads + 2 * params.groups) * head_size + size * size
    matrices = 3 if params.architecture == "transformer" else 2  # SwiGLU has a gate
    return params.layers * (attention + matrices * size * params.feedforward_size)


def _head_weights(params: ModelParams, vocabulary_size: int) -> int:
    """Of the head and, where E differs from H, of the projection before a tied one."""
    size = params.hidden_sizes[-1]
    if not params.adaptive_cutoffs:
        projection = params.embedding_size * size if _projected(params) else 0
        return projection + vocabulary_size * params.head_size
    # Grave et al. 2017 (1609.04309): the first group's pieces and a sum for each other group; these
    # are projected to fewer numbers each. As torch.nn.AdaptiveLogSoftmaxWithLoss lays it out.
    cutoffs = (*params.adaptive_cutoffs, vocabulary_size)
    weights = size * (cutoffs[0] + len(params.adaptive_cutoffs))
    for number, (start, stop) in enumerate(pairwise(cutoffs), start=1):
        weights += size // ADAPTIVE_SHRINKS_BY**number * (size + stop - start)
    return weights


def _vectors(params: ModelParams, vocabulary_size: int) -> int:
    """Numbers in biases and norms."""
    head = vocabulary_size
    if params.adaptive_cutoffs:  # the first group alone has biases
        head = params.adaptive_cutoffs[0] + len(params.adaptive_cutoffs)
    projection = params.embedding_size if _projected(params) else 0
    return _body_vectors(params) + head + projection


def _body_vectors(params: ModelParams) -> int:
    if params.recurrent:
        return 2 * GATES[params.architecture] * sum(params.hidden_sizes)
    size, layers = params.embedding_size, params.layers
    if params.architecture == "gpt2":
        norms = 2 * size * (2 * layers + 1)
        biases = (3 + 1 + 1) * size + params.feedforward_size  # input, output, down; up
        return norms + layers * biases
    head_norms = 2 * (size // params.heads) if params.query_key_norm else 0
    return size * (2 * layers + 1) + layers * head_norms


def _projected(params: ModelParams) -> bool:
    return params.tie_weights and params.embedding_size != params.hidden_sizes[-1]
