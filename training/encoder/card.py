"""The card of an encoder: what it was made from, by which recipe, under which licences, how good it is."""

import json
from collections.abc import Mapping
from typing import Any

from training.encoder.pairs import Pairs, Sources


def card(
    recipe: Mapping[str, Any], sources: Sources, retrieval: Mapping[str, float], held_back: Mapping[str, Pairs]
) -> str:
    """Markdown, complete but for what only a person can say."""
    languages = ", ".join(["en", *recipe["languages"]])
    measured = "\n".join(f"| {name} | {len(held_back[name])} | {value:.3f} |" for name, value in retrieval.items())
    used = "\n".join(f"| {source} | {licence} | {count:,} |" for (source, licence), count in sorted(sources.items()))
    return f"""# A multilingual encoder

Languages: {languages}. Teacher: `{recipe["teacher"]}`. A sentence is the mean of its token vectors.

## Recipe

`feedback encoder extend`: a new vocabulary over the languages, first embeddings by word alignment
over the pairs, then distillation of the teacher's sentence vectors on both sides of each pair.
Everything the result depends on:

```json
{json.dumps(recipe, ensure_ascii=False, indent=2)}
```

## Figures

Share of held-back translations whose nearest English sentence, by the teacher's vectors, is their own:

| language | sentences | found |
|---|---:|---:|
{measured}

## Data

| source | licence | lines |
|---|---|---:|
{used}
"""
