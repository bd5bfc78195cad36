"""Topics: what people keep saying, found in the vectors of their words.

find.py      texts and vectors in, topics out: clusters, words, days, emergence; pure functions
identity.py  which of them were known before
gather.py    what is looked at: feedback in words and the inputs of bad answers, from the stores
job.py       the search itself, in a process of its own
names.py     what a model calls them
stage.py     when all of this happens, and what is committed
"""

from trimtab.detect.topics.find import OUTLIER, Said, Survey, TopicRules, clusters, emergence, find_topics
from trimtab.detect.topics.identity import Known, matched

__all__ = [
    "OUTLIER",
    "Known",
    "Said",
    "Survey",
    "TopicRules",
    "clusters",
    "emergence",
    "find_topics",
    "matched",
]
