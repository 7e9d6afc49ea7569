"""Writes a Llama of 1.4 million random weights with a tokenizer of its own: a model that needs no download.

Its text is noise; its token counts, streams, errors and structured output are vLLM's real ones.
"""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
ROLES = ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + (message['content'] or '') + eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SENTENCES = (
    "please explain the latency of the request in the trace",
    "summarise the invoice and refund the user to the budget",
    "write python code to query the database table and the index",
    "the model answer is a cache hit and the cost of a token is in the span",
    "retry the proxy error or alert the cluster",
)
MAX_POSITIONS = 8192
QUOTE_LOGIT = 5.0  # noise would hardly ever end a string of JSON; with this, every tenth token is a quotation mark
SEED = 0

EMBEDDING_SCALE = 20.0  # a token weighs more than what two layers of noise add to it
HEAD_SCALE = 5.0  # enough that the model has preferences at all
BIAS_DEVIATIONS = 8.0


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE: it knows the words above as one token each, and any other text byte by byte."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=[BOS, EOS, PAD, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 100, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD, chat_template=CHAT_TEMPLATE
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Two layers, 256 wide; the vocabulary is rounded up to the multiple of 64 that the kernels like."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=MAX_POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    favour(model, tokenizer.convert_tokens_to_ids('"'), QUOTE_LOGIT)
    return model.to(torch.bfloat16)


def favour(model: LlamaForCausalLM, token: int, logit: float) -> None:
    """Add about `logit` to one token everywhere. A Llama has no bias: a direction that all embeddings share is one."""
    embeddings, head = model.get_input_embeddings().weight, model.lm_head.weight
    with torch.no_grad():
        embeddings *= EMBEDDING_SCALE
        head *= HEAD_SCALE
        embeddings[:, 0] = BIAS_DEVIATIONS * embeddings.std()
        head[:, 0] = 0
        head[token, 0] = logit / BIAS_DEVIATIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where tokenizer, configuration and weights go")
    folder = parser.parse_args().folder
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    make_model(tokenizer).save_pretrained(folder)


if __name__ == "__main__":
    main()
