#!/usr/bin/python3
# Threads: locks, conditions, queues, pools, thread-local data, signals to the main thread.
import concurrent.futures
import hashlib
import queue
import signal
import threading
import time

lock, total = threading.Lock(), 0


def count():
    global total
    for _ in range(2000):
        with lock:
            total += 1


threads = [threading.Thread(target=count) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(total)

jobs, results = queue.Queue(maxsize=4), queue.Queue()


def work():
    while (job := jobs.get()) is not None:
        results.put(job * 2)


workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers:
    worker.start()
for job in range(500):
    jobs.put(job)
for worker in workers:
    jobs.put(None)
for worker in workers:
    worker.join()
print(sum(results.get_nowait() for _ in range(500)))

with concurrent.futures.ThreadPoolExecutor(6) as pool:
    data = [bytes([n]) * 200_000 for n in range(24)]
    digests = pool.map(lambda item: hashlib.sha256(item).hexdigest(), data)
    print(hashlib.sha256("".join(digests).encode()).hexdigest())

event, seen = threading.Event(), []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(threading.current_thread().name))
signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
timer = threading.Timer(0.02, event.set)
timer.start()
print(event.wait(30), seen)
start = time.monotonic()
print(event.wait(0), threading.Condition().__class__.__name__, time.monotonic() - start < 20)
