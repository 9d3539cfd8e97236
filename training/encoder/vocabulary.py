"""A new vocabulary for the chosen languages: byte-pair encoding over all of them (Sennrich et al. 2016).

Text is composed (NFKC), lowered, and Chinese is written in simplified characters, so that what
is learned from one script serves both.
"""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase, digits, punctuation

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from models.errors import ConfigError

UNKNOWN, PADDING, START, END, MASK = "[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = [PADDING, UNKNOWN, START, END, MASK]
#: Marks the beginning of a word.
WORD_START = "▁"

_ASCII = [*ascii_lowercase, *digits, *punctuation]
_IDEOGRAPHS = ((0x3400, 0x9FFF), (0xF900, 0xFAFF))
_EMOJI = [
    chr(code)
    for first, last in ((0x1F600, 0x1F64F), (0x1F44A, 0x1F44F), (0x2764, 0x2764), (0x1F494, 0x1F49C))
    for code in range(first, last + 1)
] + list("🔥🎉🤔🤣🤬🤮🤯🥰🥲🥳🥺🤗🤦🤷🙌💩💪💯⭐✨✅❌❤♥☺☹😡👎👍📦🚀⏳🛑⚠")


def train_tokenizer(
    texts: Mapping[str, Sequence[str]], *, size: int, lines: int, max_length: int, seed: int
) -> PreTrainedTokenizerFast:
    """A tokenizer of ``size`` pieces, learned from ``lines`` random texts of each language.

    Fewer where the texts do not yield that many, more where the characters alone are more.

    Raises:
        ConfigError: Chinese is among the languages and the package that knows its two scripts is
            not installed.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, fuse_unk=True))
    tokenizer.normalizer = _normalizer(texts)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=WORD_START, prepend_scheme="always"),
            # digits, punctuation and pictures stand alone, with the blank before them
            pre_tokenizers.Split(Regex(rf"{WORD_START}?[[\p{{P}}\p{{S}}\d]&&[^{WORD_START}]]"), "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement=WORD_START, prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=_alphabet(texts),
        max_token_length=16,
        show_progress=False,
    )
    sample = list(_sample(texts, lines, seed))
    tokenizer.train_from_iterator(sample, trainer, length=len(sample))
    ids = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", pair=f"{START} $A {END} $B {END}", special_tokens=ids
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token=PADDING,
        unk_token=UNKNOWN,
        cls_token=START,
        sep_token=END,
        mask_token=MASK,
        clean_up_tokenization_spaces=False,
    )


def _sample(texts: Mapping[str, Sequence[str]], lines: int, seed: int) -> Iterator[str]:
    chance = random.Random(seed)
    for language in sorted(texts):
        found = texts[language]
        yield from chance.sample(found, lines) if len(found) > lines else found


def _alphabet(texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Characters every vocabulary has, seen in the texts or not: ASCII, emoji, and common Chinese ones."""
    common = []
    if any(language.startswith("zh") for language in texts):
        # level 1 of GB 2312: the 3,755 characters of everyday use
        rows = (bytes((high, low)) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF))
        common = [pair.decode("gb2312", "ignore") for pair in rows]
    return [character for character in [*_ASCII, *_EMOJI, *common] if len(character) == 1]


def _normalizer(texts: Mapping[str, Sequence[str]]) -> normalizers.Normalizer:
    # what joins or colours pictures would only be one more piece
    steps = [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex("[\ufe0f\u200d]"), "")]
    if any(language.startswith("zh") for language in texts):
        steps.append(normalizers.Precompiled(_simplify()))
    return normalizers.Sequence(steps)


def _simplify() -> bytes:
    """The character map that writes Chinese in simplified characters, as SentencePiece compiles it."""
    from sentencepiece import SentencePieceTrainer
    from transformers.convert_slow_tokenizer import import_protobuf

    try:
        from opencc import OpenCC
    except ImportError:
        raise ConfigError(
            "Chinese among the languages: its two scripts are brought together by the package opencc, "
            'which is not installed; pip install "feedback-classifier[encoder]"'
        ) from None
    convert = OpenCC("t2s").convert
    characters = [chr(code) for first, last in _IDEOGRAPHS for code in range(first, last + 1)]
    rules = {old: new for old in characters if (new := convert(old)) != old and len(new) == 1}
    with tempfile.TemporaryDirectory() as folder:
        table, model = Path(folder) / "rules.tsv", Path(folder) / "rules"
        table.write_text("".join(f"{ord(old):X}\t{ord(new):X}\n" for old, new in rules.items()), encoding="utf-8")
        # the trainer is the compiler of the map; the model that it learns on the way is not used
        SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d", "b c d e"]),
            model_prefix=str(model),
            vocab_size=9,
            model_type="char",
            normalization_rule_tsv=str(table),
            minloglevel=2,
        )
        compiled = import_protobuf().ModelProto()
        compiled.ParseFromString(model.with_suffix(".model").read_bytes())
    charsmap: bytes = compiled.normalizer_spec.precompiled_charsmap
    return charsmap
