#!/usr/bin/env python
"""Dependencies as a graph: tasks that take the results of others, and tasks that only come after others.

Start a cluster (``ipcluster -n 4``), then run ``python task_dag.py``.  With a number of tasks and a seed as arguments
the random graph of the second part is another one: ``python task_dag.py 100 7``.
"""

import random
import sys

from ipython1.kernel import client

tc = client.TaskClient()


# A small graph whose edges are values.  What is submitted need not be fetched to be used: the results go from
# engine to engine by way of the controller, and each task runs as soon as all is there that it takes.
def words(text):
    return text.lower().split()


def count(parts):
    counted = {}
    for word in [word for part in parts for word in part]:
        counted[word] = counted.get(word, 0) + 1
    return counted


def most_frequent(counted):
    return max(sorted(counted), key=counted.get)


texts = ["The cat and the dog", "the dog and the bird", "A bird in the hand"]
parts = [tc.submit(words, text) for text in texts]
counted = tc.submit(count, parts)
print("most frequent:", tc.submit(most_frequent, counted).result())

# A random graph whose edges say only what comes after what.  Each task tells when it began and ended, by the clock
# of this host; so what is checked below holds where all engines are on one host.
number = int(sys.argv[1]) if len(sys.argv) > 1 else 40
chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
source = "import time; began = time.time(); time.sleep(pause); ended = time.time()"
before = {node: chance.sample(range(node), min(node, chance.randrange(4))) for node in range(number)}
ids = []
for node in range(number):
    task = client.StringTask(
        source,
        push={"pause": chance.uniform(0, 0.02)},
        pull=["began", "ended"],
        after=[ids[other] for other in before[node]],
    )
    ids.append(tc.run(task))
results = [tc.get_task_result(taskid, block=True) for taskid in ids]
edges = [(other, node) for node, others in before.items() for other in others]
print(f"{number} tasks, {len(edges)} edges, on engines {sorted({result.engineid for result in results})}")
print("in order:", all(results[other]["ended"] <= results[node]["began"] for other, node in edges))

# When a task fails, those that need it do not run, and say why.
broken = tc.submit(words, None)
needs_it = tc.submit(count, [parts[0], broken])
print("not run:", needs_it.exception())
