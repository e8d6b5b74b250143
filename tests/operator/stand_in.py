"""A stand-in for the agent that every node can run: it answers its probes, and nothing else."""

import subprocess
import sys
from pathlib import Path

from tests.operator.running import ROOT

ONE, TWO = "tokenflow/stand-in:one", "tokenflow/stand-in:two"
CRASHING = "tokenflow/stand-in:crashing"
_SOURCE = r"""
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
static void leave(int number) { _exit(0); }
int main(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9435)};
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  char request[2048];
  int server = socket(AF_INET, SOCK_STREAM, 0);
  signal(SIGTERM, leave);
  if (!access("/crash", F_OK) || bind(server, (struct sockaddr *)&at, sizeof at) || listen(server, 16)) return 1;
  for (;;) {
    int client = accept(server, 0, 0);
    if (read(client, request, sizeof request) > 0 && write(client, answer, sizeof answer - 1) < 0) return 1;
    close(client);
  }
}
"""


def load(directory: Path) -> None:
    """Build the images in an empty directory, and bring them to every node."""
    (directory / "agent.c").write_text(_SOURCE)
    _run("cc", "-static", "-Os", "-o", "tokenflow-agent", "agent.c", within=directory)
    (directory / "crash").touch()
    for image, files in ((ONE, "tokenflow-agent"), (TWO, "tokenflow-agent"), (CRASHING, "tokenflow-agent crash")):
        (directory / "Dockerfile").write_text(f"FROM scratch\nENV PATH=/\nCOPY {files} /\nLABEL image={image}\n")
        _run("buildah", "bud", "-q", "--isolation=chroot", "-t", image, ".", within=directory)
    _run(sys.executable, "-m", "e2e.cluster", "load", ONE, TWO, CRASHING, within=ROOT)


def _run(*command: str, within: Path) -> None:
    subprocess.run(command, cwd=within, check=True, capture_output=True, timeout=180)
