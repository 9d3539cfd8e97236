"""The linear part's features against scikit-learn's, which they stand in for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from models.linear import Features

TEXTS = [
    "The courier left the parcel in the rain, again!",
    "Curierul a lăsat coletul în ploaie, iar a plouat.",
    "Kurier zostawił paczkę na deszczu 😡😡",
    "Il corriere ha lasciato il pacco sotto la pioggia.",
    "快递员把包裹丢在雨里，又湿又破。",
    "the the THE parcel parcel",
    "",
    "?",
]
KNOWN = ["the", "parcel", "rain", "left", "快递", "paczkę", "!", "again", "xyz"]
PATTERN = r"\w+|[^\w\s]"
WORDS = TfidfVectorizer(
    analyzer="word",
    ngram_range=(1, 2),
    token_pattern=PATTERN,
    sublinear_tf=True,
    dtype=np.float32,
)
CHARACTERS = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, dtype=np.float32)


@pytest.fixture(scope="module")
def features():
    WORDS.fit(TEXTS)
    CHARACTERS.fit(TEXTS)
    return Features.fit(TEXTS, min_df=1, max_features=100_000)[0]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=40),
            st.lists(st.sampled_from(KNOWN), max_size=9).map(" ".join),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_rows_are_those_of_scikit_learn(features, texts):
    rows, unknown = features.rows(texts)
    wanted = hstack([WORDS.transform(texts), CHARACTERS.transform(texts)], format="csr")
    assert rows.shape == wanted.shape
    assert abs(rows - wanted).max() <= 2e-7
    shares = []
    for vectorizer in (WORDS, CHARACTERS):
        grams = [vectorizer.build_analyzer()(text) for text in texts]
        shares.append([sum(one not in vectorizer.vocabulary_ for one in found) / max(1, len(found)) for found in grams])
    np.testing.assert_allclose(unknown, np.mean(shares, axis=0), atol=1e-6)


def test_words_that_no_two_texts_share_all_count():
    # Chinese without signs: every text is one word, while its characters come again
    texts = ["快递员把包裹丢在雨里", "客服態度很好", "包裹很好"]
    features, fitted = Features.fit(texts, min_df=2, max_features=100)
    rows, unknown = features.rows(texts)
    assert np.abs((rows - fitted).toarray()).max() < 1e-6
    assert rows.getrow(0).nnz > 1
    assert (unknown < 1).all()
