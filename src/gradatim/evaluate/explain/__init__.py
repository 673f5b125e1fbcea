"""Why a model answered as it did: which pixels, words, numbers and categories speak for its answer, which against.

`gradients` asks the network for its slope, `removal` takes parts of the input away and answers again, `check` shows
whether an explanation looks at the weights at all; `explanation` is what they all give, `page` and `painting` show it.
"""
