"""A session with a cluster, typed for you: counts the words of Python's standard library on four engines.

Started by ``sh scripts/demo``.  What stands in `SESSION` is what one would type at IPython's prompt; it is shown
with the prompt, run, and what comes back is shown as IPython shows it.
"""

from __future__ import annotations

import ast
import sys
from typing import Any

from IPython.lib.pretty import pretty

from private_cluster import exit_status, private_cluster

ENGINES = 4

SESSION = (
    "from ipython1.kernel import client",
    "mec = client.MultiEngineClient()",
    "mec.get_ids()",
    """
# Every file of Python's standard library, shuffled: the long ones stand together.
import os, pathlib, random, sysconfig, time
library = pathlib.Path(sysconfig.get_path('stdlib'))
paths = [str(path) for path in library.rglob('*.py') if 'site-packages' not in path.parts]
random.shuffle(paths)
print(len(paths), 'files,', sum(os.path.getsize(path) for path in paths) // 1000, 'kB, in', library)
""",
    """
# What there is to do with some of these files
import keyword, re, tokenize
from collections import Counter

def count(paths):
    "How often each word, and each identifier of the code, stands in the files."
    words, names = Counter(), Counter()
    for path in paths:
        with open(path, encoding='utf-8', errors='replace') as file:
            words.update(re.findall(r'\\w+', file.read()))
        try:
            with tokenize.open(path) as file:
                for token in tokenize.generate_tokens(file.readline):
                    if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                        names[token.string] += 1
        except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
            pass    # Python's own tests have files that are wrong on purpose.
    return words, names
""",
    "# Once here, on one processor\nstart = time.perf_counter()\nwords, names = count(paths)\nserial = time.perf_counter() - start",
    "# The engines get the function, and import what it uses\nmec.push_function({'count': count})",
    "mec.execute('import keyword, re, tokenize; from collections import Counter')",
    "# Each engine gets its share of the names of the files, ...\nstart = time.perf_counter()\nmec.scatter('paths', paths)",
    "# ... counts what is in its files, ...\nmec.execute('words, names = count(paths); print(len(paths), \"files\")')",
    """
# ... and what they counted is gathered and merged.
all_words = sum(mec.gather('words'), Counter())
all_names = sum(mec.gather('names'), Counter())
parallel = time.perf_counter() - start
""",
    "sum(all_words.values()), len(all_words)",
    "all_names.most_common(10)",
    "# The same as here?\nall_words == words and all_names == names",
    """
print(f'{serial:.1f} s here, {parallel:.1f} s on {len(mec)} engines: {serial / parallel:.1f} times as fast,',
      f'on a machine with {os.cpu_count()} processors')
""",
)
SAME = "all_words == words and all_names == names"


def main() -> int:
    show(f"Starting a controller and {ENGINES} engines, as this command does:\n\n$ ipcluster -n {ENGINES}\n")
    with private_cluster("ipcluster", "-n", str(ENGINES), engines=ENGINES):
        show("The cluster is ready. What follows could be typed in IPython:\n")
        namespace: dict[str, Any] = {"__name__": "__main__"}
        for number, source in enumerate(SESSION, 1):
            type_in(number, source.strip(), namespace)
        same = eval(SAME, namespace)
    if not same:
        print("scripts/demo: the engines counted something else than this process did", file=sys.stderr)
        return 1
    show("The controller and the engines are stopped.")
    return 0


def show(text: str) -> None:
    print(text, flush=True)


def type_in(number: int, source: str, namespace: dict[str, Any]) -> None:
    """Show `source` at the prompt, run it, and show the value of its last expression."""
    prompt = f"In [{number}]: "
    continuation = "...: ".rjust(len(prompt))
    show(prompt + source.replace("\n", "\n" + continuation))
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    # With the source as file name the functions made here have nothing to do with this file.
    exec(compile(tree, f"<In [{number}]>", "exec"), namespace)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), f"<In [{number}]>", "eval"), namespace)
        if value is not None:
            text = pretty(value)
            show(f"Out[{number}]: " + ("\n" if "\n" in text else "") + text)
    show("")


if __name__ == "__main__":
    sys.exit(exit_status("scripts/demo", main, "; the controller and the engines are stopped"))
