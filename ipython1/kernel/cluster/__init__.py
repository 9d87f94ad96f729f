"""Clusters that programs start and use: what is behind `ipython1.kernel.client.Cluster`."""
