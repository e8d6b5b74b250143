"""What importing the client brings along: programs that start for one answer wait for it."""

import json
import subprocess
import sys


def test_the_models_of_resources_and_telemetry_stay_out() -> None:
    program = "import json, sys, tokenflow_client; print(json.dumps([*sys.modules]))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(ran.stdout))
    assert {"tokenflow_client", "tokenflow_api.hints", "httpx", "pydantic"} <= loaded
    assert not {"tokenflow_api.pacing_policy", "tokenflow_api.telemetry", "tokenflow_api.runtime", "aiohttp"} & loaded
