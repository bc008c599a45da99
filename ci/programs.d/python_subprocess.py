#!/usr/bin/python3
# Child processes: pipes, large output, statuses, signals, time limits, environments.
import os
import signal
import subprocess
import sys

for number in range(20):
    done = subprocess.run(["sh", "-c", f"echo {number}; exit {number}"], capture_output=True)
    assert done.returncode == number and done.stdout == b"%d\n" % number, done
big = subprocess.run(["cat"], input=b"x" * 3_000_000, capture_output=True, check=True)
print(len(big.stdout))
child = subprocess.Popen(["sleep", "60"])
child.send_signal(signal.SIGTERM)
print(child.wait())
try:
    subprocess.run(["sleep", "60"], timeout=0.1)
except subprocess.TimeoutExpired:
    print("timed out")
try:
    subprocess.run(["/no/such/program"])
except FileNotFoundError as error:
    print(error.errno)
code = "import os; print(sorted(os.environ), os.getcwd(), os.getpid() != os.getppid())"
environment = {"A": "1", "LC_ALL": "C"}
print(subprocess.check_output([sys.executable, "-c", code], env=environment, cwd="/usr").decode(), end="")
read, write = os.pipe()
with subprocess.Popen(["sh", "-c", f"echo passed >&{write}"], pass_fds=[write]):
    os.close(write)
    print(os.read(read, 100))
pipeline = "seq 1 100000 | grep 7 | wc -l"
print(subprocess.check_output(pipeline, shell=True).split())
