"""The settings of the parallel kernel: each is described here, and nowhere else.

Files, the help of commands and the documentation are made from this table.
"""

from __future__ import annotations

from ipython1.config.kinds import Boolean, Integer, Number, Size, Text, Words
from ipython1.config.setting import Table

SECONDS = Number(expected="0 or more")
SOME_SECONDS = Number(expected="more than 0", least=0.001)
ENGINES_COUNT = Integer(expected="at least 1 is needed", least=1)
COUNT = Integer(expected="whole, at least 1", least=1)
FILE = Text("path")
NAME = Text("name")

_CLASS = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_HOST = r"[\w.-]+|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?"

KERNEL = Table("ipython1.kernel", "The configuration of controllers, engines, clusters and clients.")

# -- controller --------------------------------------------------------------------------------------------

_controller = KERNEL.section("controller", "The controller, on the host where it runs.")
PORT = _controller.setting(
    "port",
    Integer("port", "a number from 1 to 65535, or 0 for a free one", least=0, most=65535),
    0,
    "The port to listen on; 0 stands for a free one.",
    option=("--port",),
)
INTERFACE = _controller.setting(
    "interface",
    Text("address", pattern=r"[^\s/]*"),
    "",
    "The address to listen on. If it is empty, all addresses of the host.",
    option=("--interface",),
)
LOCATION = _controller.setting(
    "location",
    Words(
        "host name or address",
        "one or several, separated by commas; the port is said by --port",
        pattern=_HOST,
    ),
    (),
    "Where engines and clients find this host: names or addresses, separated by commas, for the FURLs. If it is empty,"
    " the address by which this host reaches others, and 127.0.0.1.",
    option=("--location",),
)
REUSE_FURLS = _controller.setting(
    "reuse_furls",
    Boolean(),
    False,
    "Whether to use the port, certificate and FURLs of the last time, and leave them for the next: FURL files that"
    " were copied stay valid.",
    option=("-r", "--reuse-furls"),
)
SCHEDULER = _controller.setting(
    "scheduler",
    Text("dotted name of a class", pattern=f"({_CLASS})?"),
    "",
    "What decides on the order of tasks, by the dotted name of its class. If it is empty, first in, first out.",
    option=("--scheduler",),
)
INTERFACE_CLASSES = _controller.setting(
    "interface_classes",
    Words("dotted name of a class", "one or several, separated by commas", pattern=_CLASS),
    (),
    "Interfaces of your own that are published beside MultiEngine and Task, by the dotted names of their classes,"
    " separated by commas.",
    option=("--interface-class",),
)
GRACE = _controller.setting(
    "grace",
    SOME_SECONDS,
    60.0,
    "How long engines and clients are awaited whose connection is lost, and by them the controller.",
    unit="seconds",
    option=("--grace",),
)
ENGINE_KEEPALIVE = _controller.setting(
    "engine_keepalive",
    SOME_SECONDS,
    10.0,
    "The connection of engines is taken for lost when nothing comes over it for so long.",
    unit="seconds",
    option=("--engine-keepalive",),
)
CLIENT_KEEPALIVE = _controller.setting(
    "client_keepalive",
    SOME_SECONDS,
    60.0,
    "The same for the connection of clients, which user code that holds the GIL may keep silent.",
    unit="seconds",
    option=("--client-keepalive",),
)
CONTROLLER_LOG = _controller.setting(
    "logfile",
    FILE,
    "",
    "The file to log to. If it is empty, ipcontroller.log in the cluster's log folder.",
    option=("-l", "--logfile"),
)
KEPT_RESULTS = _controller.setting(
    "kept_results",
    COUNT,
    10_000,
    "So many results of calls with block=False are kept until they are fetched; those that are oldest go first.",
)
KEPT_RESULTS_SIZE = _controller.setting(
    "kept_results_size",
    Size(),
    256 << 20,
    "So much memory these results may take together.",
    unit="bytes",
)
KEPT_TASK_RESULTS = _controller.setting(
    "kept_task_results",
    COUNT,
    100_000,
    "The results of so many tasks are kept; those that are oldest go first.",
)
KEPT_TASK_RESULTS_SIZE = _controller.setting(
    "kept_task_results_size",
    Size(),
    256 << 20,
    "So much memory the results of tasks may take together.",
    unit="bytes",
)

# -- store -------------------------------------------------------------------------------------------------

_store = KERNEL.section(
    "store", "What the controller keeps for its next start: tasks, results, and the history of commands."
)
STORE = _store.setting(
    "url",
    Text("path or URL"),
    "sqlite",
    "Where it is kept: sqlite (db/ipcontroller.sqlite in the ipython directory), the path of another file,"
    " postgresql://user@host/database, or memory, which ends with the controller.",
    option=("--store",),
)
STORE_SYNC = _store.setting(
    "sync",
    Text("normal or full", pattern="normal|full"),
    "normal",
    "What is stored survives the end of the controller in any case, if it is killed, too. With full it also survives a"
    " power cut; each confirmation waits for the disk then.",
    option=("--store-sync",),
)
KEPT_TASKS_AGE = _store.setting(
    "tasks_age",
    SECONDS,
    30 * 86400.0,
    "Tasks that have ended, and their results, are kept for so long; 0 stands for ever.",
    unit="seconds",
)
KEPT_TASKS_COUNT = _store.setting(
    "tasks_count", COUNT, 100_000, "So many of them are kept; the oldest go first."
)
KEPT_TASKS_BYTES = _store.setting(
    "tasks_size", Size(), 4 << 30, "So much room they may take together.", unit="bytes"
)
KEPT_COMMANDS_AGE = _store.setting(
    "commands_age",
    SECONDS,
    30 * 86400.0,
    "The commands of MultiEngine, and their results, are kept for so long; 0 stands for ever.",
    unit="seconds",
)
KEPT_COMMANDS_COUNT = _store.setting(
    "commands_count",
    COUNT,
    100_000,
    "So many of them are kept; a command counts once for each of its engines. The oldest go first.",
)
KEPT_COMMANDS_BYTES = _store.setting(
    "commands_size", Size(), 1 << 30, "So much room they may take together.", unit="bytes"
)

# -- engine ------------------------------------------------------------------------------------------------

_engine = KERNEL.section(
    "engine", "Engines and the ipengine that looks after them, on the host where they run."
)
NUM = _engine.setting(
    "num",
    ENGINES_COUNT,
    1,
    "How many engines ipengine starts.",
    unit="engines",
    option=("-n", "--num"),
)
ENGINE_LOG = _engine.setting(
    "logfile",
    FILE,
    "",
    "The file to log to. If it is empty, warnings are written to stderr.",
    option=("-l", "--logfile"),
)
TIMEOUT = _engine.setting(
    "timeout",
    SECONDS,
    60.0,
    "How long to wait for the FURL file and the controller at the start.",
    unit="seconds",
    option=("--timeout",),
)
RECONNECT_TIMEOUT = _engine.setting(
    "reconnect_timeout",
    SECONDS,
    60.0,
    "How long the interpreters live on when the controller does not know them any more, and is dialed for a new start.",
    unit="seconds",
)
START_TIMEOUT = _engine.setting(
    "start_timeout",
    SECONDS,
    60.0,
    "How long an interpreter may take to become ready.",
    unit="seconds",
)
KEPT_COMMANDS = _engine.setting(
    "kept_commands",
    COUNT,
    1000,
    "The results of so many commands of an engine are kept for get_result.",
)
KEPT_COMMANDS_SIZE = _engine.setting(
    "kept_commands_size",
    Size(),
    64 << 20,
    "So much memory these results may take together, for each engine.",
    unit="bytes",
)
OUTPUT_LIMIT = _engine.setting(
    "output_limit",
    Size(),
    128 << 20,
    "So much of what one command writes to stdout, and to stderr, is kept.",
    unit="bytes",
)
ENGINE_SHARED_MEMORY = _engine.setting(
    "shared_memory",
    Boolean(),
    True,
    "Whether large values go through memory that processes of the host share: to and from clients there, and interpreters.",
)

MEMORY_LIMIT = _engine.setting(
    "memory_limit",
    Text(
        "limit of memory",
        "4G or 512M are for each engine, 80% is for all of a host together",
        pattern=r"((?!0+\D)(?!0+$)\d{1,18} ?[KMGTkmgt]?(i?B)?|(?!0+ ?%)\d{1,2} ?%|100 ?%)?",
    ),
    "",
    "How much memory an engine may use, as in 4G, or all engines of a host together, as in 80%. What runs in an engine"
    " that uses more fails with an error, and the engine is started again. If it is empty, there is no limit.",
    option=("--memory-limit",),
)

# -- cluster -----------------------------------------------------------------------------------------------

_cluster = KERNEL.section("cluster", "What ipcluster starts, and how it looks after it.")
LAUNCHER = _cluster.setting(
    "launcher", NAME, "local", "The name of what starts the processes.", option=("--launcher",)
)
ENGINES = _cluster.setting(
    "engines",
    ENGINES_COUNT,
    2,
    "How many engines there are, where the launcher does not say.",
    unit="engines",
    option=("-n", "--num"),
)
MAX_RESTARTS = _cluster.setting(
    "max_restarts",
    Integer(expected="0 or more is needed"),
    5,
    "How often the controller, and each host agent, is started again when it has ended unexpectedly, within the"
    " restart window.",
    unit="restarts",
    option=("--max-restarts",),
)
RESTART_WINDOW = _cluster.setting(
    "restart_window",
    Number(expected="more than 0", least=0.001),
    60.0,
    "The time within which these restarts are counted.",
    unit="seconds",
    option=("--restart-window",),
)

# -- client ------------------------------------------------------------------------------------------------

_client = KERNEL.section("client", "Clients, in the programs that use them.")
CONNECT_TIMEOUT = _client.setting(
    "connect_timeout",
    SECONDS,
    20.0,
    "How long the controller may take to answer a client that connects.",
    unit="seconds",
)
CONFIRM_TIMEOUT = _client.setting(
    "confirm_timeout",
    SECONDS,
    10.0,
    "How long a client that leaves, or a program that ends, waits until the controller has confirmed the tasks that"
    " were submitted.",
    unit="seconds",
)
SHARED_MEMORY = _client.setting(
    "shared_memory",
    Boolean(),
    True,
    "Whether large values go to engines of the same host, and come back, through memory that both processes see.",
)
SHARED_MEMORY_FROM = _client.setting(
    "shared_memory_from",
    Size(),
    512 << 10,
    "Values below this size go with the connection in any case.",
    unit="bytes",
)

# -- log ---------------------------------------------------------------------------------------------------

_log = KERNEL.section("log", "Log files, of all commands.")
LOG_SIZE = _log.setting(
    "size", Size(), 1 << 20, "A log file that has reached this size is put aside.", unit="bytes"
)
LOG_COUNT = _log.setting("count", COUNT, 5, "So many log files that were put aside are kept.")

# -- ssh ---------------------------------------------------------------------------------------------------

_ssh = KERNEL.section("ssh", "Other hosts, for ipcluster ssh: how they are logged in to, and what is there.")
CLUSTER_FILE = _ssh.setting(
    "clusterfile",
    FILE,
    "clusterfile.py",
    "The file that says how many engines each host has.",
    option=("--clusterfile",),
)
SSH = _ssh.setting(
    "program",
    FILE,
    "ssh",
    "The client of OpenSSH, or a program that takes the same arguments.",
    option=("--ssh",),
)
SSH_CONFIG = _ssh.setting(
    "config",
    FILE,
    "",
    "The configuration of ssh. If it is empty, that of the user.",
    option=("--ssh-config",),
)
REMOTE_PYTHON = _ssh.setting(
    "python",
    Text("path of a Python", pattern=".+"),
    "python3",
    "The Python on other hosts that has ipython1; or a script that sets up what is needed and runs Python with its"
    " arguments.",
    option=("--python",),
)
REMOTE_DIR = _ssh.setting(
    "ipython_dir",
    FILE,
    "",
    "The ipython directory on other hosts. If it is empty, ~/.ipython there.",
    option=("--remote-ipython-dir",),
)
SHARED_FILES = _ssh.setting(
    "shared_files",
    Boolean(),
    False,
    "Whether the ipython directory is on a file system that all hosts share, so that FURL files are not copied.",
    option=("--shared-files",),
)
SSH_CONNECT_TIMEOUT = _ssh.setting(
    "connect_timeout",
    Number(expected="1 or more", least=1.0),
    15.0,
    "How long a host may take to answer.",
    unit="seconds",
    option=("--connect-timeout",),
)
SSH_START_TIMEOUT = _ssh.setting(
    "start_timeout",
    Number(expected="1 or more", least=1.0),
    60.0,
    "How long login and Python may take there, after the host has answered.",
    unit="seconds",
)
SILENCE = _ssh.setting(
    "silence",
    Number(expected="1 or more", least=1.0),
    120.0,
    "What runs on other hosts ends itself when nothing has been heard of ipcluster for so long.",
    unit="seconds",
    option=("--silence",),
)
