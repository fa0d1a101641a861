"""Reads a page of metrics with the reference parser, in both formats.

Reads one JSON object on standard input and writes one on standard output. Values are text: JSON has no NaN.
"""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics


def families(parse, text):
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [[s.name, s.labels, repr(float(s.value))] for s in family.samples],
        }
        for family in parse(text)
    ]


job = json.load(sys.stdin)
json.dump(
    {
        "text": families(parser.text_string_to_metric_families, job["text"]),
        "openmetrics": families(openmetrics.text_string_to_metric_families, job["openmetrics"]),
    },
    sys.stdout,
)
