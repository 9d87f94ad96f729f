"""Installs ipython1: ``pip install .`` in this folder."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "ipython1" / "__init__.py").read_text(encoding="utf-8")
).group(1)

# Each lower bound is the oldest release that the tests were run with: see .ci/lowest.txt.
REQUIRED = [
    "Twisted>=24.7",
    "foolscap>=24.9",
    "zope.interface>=6.0",
    "cryptography>=42.0",
    "pyOpenSSL>=24.1",
    "service-identity>=24.1",
    "ipython>=9.17",
    "cloudpickle>=3.0",
    "configobj>=5.0.9",
    "msgpack>=1.0.5",
    "psutil>=7.0",
    "rich>=13.0",
    "SQLAlchemy>=2.0.30",
]
POSTGRESQL = [
    "psycopg[binary]>=3.2.1",
]
TEST = [
    *POSTGRESQL,
    "hypothesis>=6.100",
    "numpy>=1.26",
]
BENCH = [
    "matplotlib>=3.8",
    "numpy>=1.26",
]
DOCS = [
    "sphinx>=7.2",
]
LINT = [
    "mypy>=1.11",
    "mypy-zope>=1.0.5",
    "ruff>=0.6",
]

setup(
    name="ipython1",
    version=VERSION,
    description="Interactive parallel computing in Python: a controller, engines, and clients to use from a prompt",
    long_description=(HERE / "README").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="The ipython1 Development Team",
    license="BSD-3-Clause",
    license_files=["LICENSE"],
    keywords="parallel distributed interactive ipython twisted foolscap",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Framework :: IPython",
        "Framework :: Twisted",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Distributed Computing",
    ],
    packages=find_packages(include=["ipython1", "ipython1.*"]),
    python_requires=">=3.11",
    install_requires=REQUIRED,
    extras_require={"postgresql": POSTGRESQL, "test": TEST, "bench": BENCH, "docs": DOCS, "dev": TEST + DOCS + LINT},
    entry_points={
        "console_scripts": [
            f"{command} = ipython1.kernel.scripts.{command}:main"
            for command in ("ipcontroller", "ipengine", "ipcluster")
        ],
        "ipython1.launchers": [
            "local = ipython1.kernel.launch.local:factory",
            "ssh = ipython1.kernel.launch.ssh:factory",
        ],
    },
    zip_safe=False,
)
