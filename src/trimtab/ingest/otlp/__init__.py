"""Spans of other tools into inferences: the wire of OTLP, the conventions spans are written in, and the answer.

`wire` turns bytes into spans, one module per convention reads what its attributes mean, `mapping` picks the spans that
are model calls and makes inferences of them. Everything after that is the way every other event goes.
"""
