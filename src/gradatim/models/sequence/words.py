"""The mean of word vectors that were learned elsewhere.

Papers: Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality", 2013, and
Pennington, Socher & Manning, "GloVe", EMNLP 2014 (the vectors); Iyyer, Manjunatha, Boyd-Graber & Daumé, "Deep Unordered
Composition", ACL 2015 (their mean, and layers above it).

The idea: words that stand in the same company have near vectors, so the mean over a text says what it is about. A
label seen on texts with "puppy" carries over to texts with "dog", even where training never showed that word.

What differs from the papers: only known words count; no layer but the head above the mean.

What to notice: weighing words by a / (a + p), p their share of all text ("smooth inverse frequency", Arora, Liang & Ma,
ICLR 2017), gains nothing where a head is trained on the means: on definitions of nouns, 10 classes, it loses 0.7 to 1.6
points with the paper's a = 0.001 and is even with the plain mean at 0.01 (docs/words.md). The order of words counts for
nothing.
"""

import torch
from torch import nn

from gradatim.nn.attention.mask import length_mask, masked_mean
from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32

FIRST_WORD = 2  # 0 is padding, 1 any unknown word


class WordVectorMean(nn.Module):
    """The mean of a text's word vectors, and a linear head.

    forward: ids int (B, L), lengths int (B,) → float32 logits (B, num_classes), or features (B, num_features) when
    num_classes is 0. Token 0 is padding, token 1 an unknown word, which counts for nothing. A text without a known word
    has the vector zero.
    """

    def __init__(self, num_classes: int, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.num_features = width
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        initialise_dense(self)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The features, or what the head makes of them."""
        known = length_mask(lengths, ids.shape[1]) & (ids >= FIRST_WORD)
        return at_least_float32(self.head(masked_mean(self.embedding(ids), known)))


def words(num_classes: int = 2, vocabulary: int = 8192, width: int = 100) -> WordVectorMean:
    """The mean of word vectors; `--encoder text=words:FILE` fills them from a text file."""
    return WordVectorMean(num_classes, vocabulary, width)


def demo() -> tuple[WordVectorMean, tuple[torch.Tensor, ...]]:
    """A net over 20 tokens and three texts of 7, 3 and 1 tokens."""
    lengths = torch.tensor([7, 3, 1])
    ids = torch.randint(FIRST_WORD, 20, (3, 7)) * length_mask(lengths, 7)
    return words(num_classes=4, vocabulary=20, width=128), (ids, lengths)
