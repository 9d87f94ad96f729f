"""A program with a cluster of its own, which ends with it."""

from ipython1.kernel import client

with client.Cluster(n=2) as cluster:
    mec = cluster.multiengine()
    mec.scatter("x", range(16))
    mec.execute("y = sum(i**2 for i in x)")
    print("Sum of squares:", sum(mec.pull("y")))
