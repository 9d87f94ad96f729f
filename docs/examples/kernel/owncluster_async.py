"""The same in a program that runs Twisted's reactor."""

from twisted.internet.task import react

from ipython1.kernel import asyncclient


async def main(reactor):
    async with asyncclient.AsyncCluster(n=2) as cluster:
        mec = await cluster.multiengine()
        await mec.scatter("x", range(16))
        await mec.execute("y = sum(i**2 for i in x)")
        print("Sum of squares:", sum(await mec.pull("y")))


react(main)
