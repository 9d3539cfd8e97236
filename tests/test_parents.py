"""Where a process of the service was killed without a word the port is free: its children end by themselves."""

import subprocess
import sys
import time

import psutil
import pytest
from processes import Service, Sink, environment_of
from support import ROOT, free_port

from serving.server import check_port


@pytest.mark.parametrize("when", ["while it starts", "when it serves"])
def test_the_worker_ends_with_the_process_that_watches_over_it(when, linear_folder, tmp_path):
    port, sink = free_port(), Sink()
    environment = environment_of(tmp_path, f"sqlite:///{tmp_path / 'feedback.db'}", sink, linear_folder)
    service = Service(port, environment, tmp_path / "service.log")
    service.start()
    try:
        deadline = time.monotonic() + 60
        while service.identity is None or (when == "when it serves" and not service.is_ready()):
            assert time.monotonic() < deadline, service.said
            time.sleep(0.02)
        service.kill_outer()
        check_port("127.0.0.1", port)
    finally:
        service.kill()
        sink.shutdown()
        sink.server_close()


def test_service_and_delivery_end_with_the_command_that_started_them(linear_folder, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "feedback", "serve", "--model", str(linear_folder), "--port", str(port)]
    command += ["--store", f"sqlite:///{tmp_path / 'feedback.db'}"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        for line in process.stderr:
            said += line
            if "stop with Ctrl-C. Try" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        started = [" ".join(child.cmdline()) for child in children if child.is_running()]
        assert any("bentoml" in line for line in started), said
        assert any("deliver run" in line for line in started), said
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
        check_port("127.0.0.1", port)
