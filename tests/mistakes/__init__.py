"""Programs with one mistake each, for tests/test_errors.py: the commonest ones, a file a subject.

In a file, a line `# name` starts a program and an empty line ends it. As a script: all their texts,
as JSON.
"""

import json
import linecache
from pathlib import Path

import twofold
import twofold.nn.functional as F
from twofold import nn, optim

COMMON = ("RuntimeError", "Exception", "BaseException", "object", "LookupError", "ArithmeticError")
FILES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.txt"))}
SUBJECTS = tuple(FILES)


def programs(subject: str) -> dict[str, str]:
    """The programs of a subject by their names."""
    made = {}
    for part in FILES[subject].read_text(encoding="utf-8").strip().split("\n\n"):
        name, _, program = part.partition("\n")
        made[name.removeprefix("# ")] = program + "\n"
    return made


def text_of(program: str) -> str:
    """What the program's error says, below its class and the built-in that it is.

    The program is called train.py, whose lines are found as if it were a file.
    """
    twofold.manual_seed(0)
    names = {"twofold": twofold, "nn": nn, "optim": optim, "F": F, "__name__": "__main__"}
    linecache.cache["train.py"] = (len(program), None, program.splitlines(True), "train.py")
    try:
        exec(compile(program, "train.py", "exec"), names)
    except Exception as error:
        return f"{kinds(error)}\n{error}"
    return "no error"


def kinds(error: Exception) -> str:
    """The class, and the classes of Python's that it derives from."""
    bases = [base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"]
    fitting = [name for name in bases if name not in COMMON]
    return ": ".join([type(error).__name__, ", ".join(fitting) or "RuntimeError"])


def all_texts() -> dict[str, dict[str, str]]:
    return {
        subject: {name: text_of(program) for name, program in programs(subject).items()}
        for subject in SUBJECTS
    }


if __name__ == "__main__":
    print(json.dumps(all_texts()))
