"""Runs the command that the command line names."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tokenflow_client._command import bench, chat, grammar, hints
from tokenflow_client._command.conversation import Settings
from tokenflow_client._command.demand import Demand
from tokenflow_client._command.endpoint import Endpoint, read_key
from tokenflow_client._command.terminal import printable
from tokenflow_client._errors import TokenFlowError

FAILED: Final = 1
INTERRUPTED: Final = 130

_READING_RATES: Final = (5.0, 10.0, 20.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: 0 done, 1 failed, 2 wrong command line, 130 interrupted."""
    arguments = grammar.parser(hints=_hints, bench=_bench, chat=_chat).parse_args(argv)
    run: grammar.Command = arguments.run
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal's encoding lacks must not end a chat, nor one that no encoding has.
            stream.reconfigure(errors="replace")
    # The commands say themselves what goes wrong; lines of a log would run into what they draw.
    logging.getLogger("tokenflow_client").addHandler(logging.NullHandler())
    try:
        return run(arguments)
    except TokenFlowError as error:
        sys.stderr.write(f"tokenflow: {printable(str(error))}\n")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has seen enough; what is left must not fail when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _hints(arguments: argparse.Namespace) -> int:
    service = Endpoint(url=arguments.url, api_key=read_key(arguments.api_key_file))
    wanted = hints.Wanted(tenant=arguments.tenant, path=arguments.path)
    command = hints.watch if arguments.watch else hints.once
    return command(service, wanted, as_json=arguments.json)


def _bench(arguments: argparse.Namespace) -> int:
    key = read_key(arguments.api_key_file)
    endpoints = [_tenant(arguments.url, named, key) for named in arguments.tenant or [""]]
    demand = Demand(
        rate=arguments.rate,
        duration_s=arguments.duration,
        variation=arguments.variation,
        tenants=len(endpoints),
        prompt=arguments.prompt,
        output=arguments.output,
        seed=arguments.seed,
    )
    load = bench.Bench(
        endpoints=endpoints,
        model=arguments.model,
        demand=demand,
        max_streams=arguments.max_streams,
        timeout_s=arguments.timeout,
        ignore_eos=arguments.ignore_eos,
        reading_rates=arguments.reading_rate or _READING_RATES,
        first_token_s=arguments.first_token,
    )
    return bench.run(load, as_json=arguments.json)


def _tenant(url: str, named: str, key: str) -> Endpoint:
    """Return the endpoint for ``NAME``, with the API key of all, or for ``NAME=FILE``, with that of the file."""
    name, separator, file = named.partition("=")
    return Endpoint(url=url, tenant=name, api_key=read_key(Path(file)) if separator else key)


def _chat(arguments: argparse.Namespace) -> int:
    key = read_key(arguments.api_key_file)
    settings = Settings(
        endpoint=Endpoint(url=arguments.url, api_key=key, tenant=arguments.tenant),
        hints=Endpoint(url=arguments.hints, api_key=key) if arguments.hints else None,
        model=arguments.model,
        system=arguments.system,
        max_tokens=arguments.max_tokens,
        reading_rate=arguments.reading_rate,
        silence_s=arguments.timeout,
    )
    return chat.run(settings)
