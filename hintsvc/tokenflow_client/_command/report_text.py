"""A report for people."""

from tokenflow_client._command.report import LATE_S, Reader, Report, Spread
from tokenflow_client._command.terminal import printable

_NOTHING = "-"


def text(found: Report) -> str:
    """Return the report as lines of text."""
    failed = sum(found.errors.values())
    lines = [
        f"{found.requests} requests in {found.seconds:.1f} s, {failed} failed",
        f"{found.tokens} tokens, {found.tokens_per_second:.1f} a second, {_number(found.bytes_per_token)} bytes each",
        "",
        f"{'seconds':<16}{'p50':>10}{'p90':>10}{'p99':>10}{'max':>10}",
        _spread("first token", found.first_token),
        _spread("event gap", found.gap),
        _spread("completion", found.completion),
        "",
        f"{'read at':<16}{'stalled':>10}{'seconds':>10}{'stalls':>10}{'quality':>10}{'on time':>10}{'effective':>10}",
        *(_reader(reader) for reader in found.readers),
    ]
    if found.fairness is not None:
        lines += ["", f"fairness between tenants (Jain) {found.fairness:.3f}"]
    if found.errors:
        lines += [
            "",
            "failed:",
            *(f"  {number:>6}  {printable(word)}" for word, number in sorted(found.errors.items())),
        ]
    if warnings := _warnings(found):
        lines += ["", *(f"warning: {warning}" for warning in warnings)]
    return "\n".join(lines) + "\n"


def _spread(name: str, spread: Spread) -> str:
    values = (spread.p50, spread.p90, spread.p99, spread.max)
    return f"{name:<16}" + "".join(f"{_NOTHING if value is None else f'{value:.3f}':>10}" for value in values)


def _reader(reader: Reader) -> str:
    return (
        f"{f'{reader.rate:g} tokens/s':<16}{reader.stall_ratio:>10.1%}{reader.stalled_s:>10.1f}{reader.stalls:>10}"
        f"{reader.quality:>10.3f}{reader.on_time:>10.1%}{reader.effective_tokens_per_second:>10.1f}"
    )


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1f}"


def _warnings(found: Report) -> list[str]:
    generator = found.generator
    warnings = []
    if generator.late:
        warnings.append(
            f"this generator was late itself, by {generator.lag.p99:.3f} s at p99 (more than {LATE_S} s): "
            "the times above are too long; lower --rate, or run several at once"
        )
    if generator.never_started:
        warnings.append(
            f"{generator.never_started} requests never had their turn: raise --max-streams, or lower --rate"
        )
    elif generator.held_back:
        warnings.append(f"{generator.held_back} requests waited for a stream; they count from when they were due")
    return warnings
