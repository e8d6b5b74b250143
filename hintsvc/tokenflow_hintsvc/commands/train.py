"""``train``: makes a model of telemetry, and judges it first."""

import argparse
import sys
import time

from tokenflow_hintsvc.commands.telemetry import series_of
from tokenflow_hintsvc.learn import folder
from tokenflow_hintsvc.learn.judging import table
from tokenflow_hintsvc.learn.model import read_card
from tokenflow_hintsvc.learn.training import train


def main(arguments: argparse.Namespace) -> int:
    """Write a model under ``--out``, unless it beats no baseline.

    Raises:
        LearnError: the data is none or too little, or the model is refused; nothing is written.
    """
    bundle = train(
        series_of(arguments),
        seed=arguments.seed,
        now_unix_ms=lambda: time.time_ns() // 1_000_000,
        version=arguments.version_name,
    )
    place = folder.write(bundle, arguments.out)
    card = read_card(bundle)
    sys.stdout.write(f"{table(card.judgement)}\nmodel {card.version} is in {place}\n")
    return 0
