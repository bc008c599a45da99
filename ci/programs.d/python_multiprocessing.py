#!/usr/bin/python3
# multiprocessing: pools, queues, shared memory, locks, all three ways to start.
import multiprocessing
from multiprocessing import shared_memory


def square(number):
    return number * number


def add(counter, lock):
    for _ in range(200):
        with lock:
            counter.value += 1


def fill(queue, name):
    block = shared_memory.SharedMemory(name=name)
    block.buf[:4] = b"done"
    block.close()
    queue.put("filled")


def main():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            print(method, sum(pool.map(square, range(100), chunksize=7)))
        counter, lock = context.Value("i", 0, lock=False), context.Lock()
        workers = [context.Process(target=add, args=(counter, lock)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print(counter.value, [worker.exitcode for worker in workers])
    queue = multiprocessing.Queue()
    block = shared_memory.SharedMemory(create=True, size=4096)
    worker = multiprocessing.Process(target=fill, args=(queue, block.name))
    worker.start()
    print(queue.get(timeout=30), bytes(block.buf[:4]))
    worker.join()
    block.close()
    block.unlink()


if __name__ == "__main__":
    main()
