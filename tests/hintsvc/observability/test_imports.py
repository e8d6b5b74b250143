"""What a replica does not carry while nobody asks for it: memory is what followers are short of."""

import subprocess
import sys


def test_a_serving_replica_carries_no_exporter_no_trainer_and_no_kubernetes_client() -> None:
    program = "import sys, tokenflow_hintsvc.commands.serve; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    carried = set(done.stdout.splitlines())
    assert "tokenflow_hintsvc.replica" in carried
    assert not carried & {"opentelemetry.exporter", "requests", "sklearn", "scipy", "kubernetes", "pyarrow"}
