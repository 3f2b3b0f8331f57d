"""`twofold.debug(f)(*args)`: the optimised program under a debugger, at the user's lines. Floor 9.

The commands are pdb's. A program stands before a call: `step` runs it, `next` runs all calls of the
line, `continue` runs to a breakpoint, to a watched value that changes, or to the first NaN. Values
have the names of the graph's text: `p %3`, `p x.mean()`.
"""

from __future__ import annotations

import bdb
import cmd
import linecache
import re
from collections.abc import Iterable
from types import CodeType
from typing import Any, final

import numpy as np

from twofold.base.errors import TwofoldError, line_of, short_path
from twofold.frontends.stepper import Stepper, compiled_of, program_for, statistics
from twofold.ir.graph import Call
from twofold.ir.graph_text import as_text, call_text
from twofold.ops.tensor import wrap

NUMBERED = re.compile(r"%(\d+)")
CONTEXT = 5  # lines that `list` shows before and after


def debug(
    function: Any,
    *,
    optimized: bool = True,
    commands: Iterable[str] | None = None,
    stdin: Any = None,
    stdout: Any = None,
) -> Any:
    """The function, whose program runs under a debugger. `help` lists the commands.

    function: compiled, or any function or module that can be.
    optimized: False to run the calls as they were captured, before the passes.
    commands: what to do, instead of asking; afterwards the program runs to its end.
    Raises bdb.BdbQuit after `quit`; nothing has been written then.

    >>> twofold.debug(step)(x, y)
    """
    compiled = compiled_of(function)

    def debugged(*args: Any, **kwargs: Any) -> Any:
        program, leaves = program_for(compiled, args, kwargs)
        stepper = Stepper(program, leaves, optimized=optimized)
        return Debugger(stepper, commands=commands, stdin=stdin, stdout=stdout).run()

    return debugged


@final
class Debugger(cmd.Cmd):
    """One run of a program, and who looks at it."""

    prompt = "(twofold) "
    doc_header = "Commands (help COMMAND tells more):"

    def __init__(
        self,
        stepper: Stepper,
        *,
        commands: Iterable[str] | None = None,
        stdin: Any = None,
        stdout: Any = None,
    ) -> None:
        super().__init__(stdin=stdin, stdout=stdout)
        self.use_rawinput = stdin is None
        self.stepper = stepper
        self.scripted = commands is not None
        self.cmdqueue = list(commands or ())
        self.breaks: list[str] = []
        self.watched: dict[str, str] = {}
        self.stop_at_nan = True
        self.nan: Call | None = None
        self.quitting = False
        self.listed = 0

    def run(self) -> Any:
        """Ask until the program is at its end; its result."""
        self.show()
        while self.stepper.call is not None and not self.quitting:
            if self.scripted and not self.cmdqueue:
                break
            self.cmdloop()
        if self.quitting:
            raise bdb.BdbQuit
        return self.stepper.finish()

    def say(self, *lines: str) -> None:
        for line in lines:
            self.stdout.write(line + "\n")

    def postcmd(self, stop: bool, line: str) -> bool:
        ended = self.stepper.call is None or (self.scripted and not self.cmdqueue)
        return bool(stop) or self.quitting or ended

    def emptyline(self) -> bool:
        return False

    def default(self, line: str) -> None:
        """Everything else is an expression."""
        if line == "EOF":
            self.quitting = True
            return
        self.do_p(line)

    # ---- going on

    def forward(self) -> bool:
        """Run one call. Whether there is a reason to stop."""
        call = self.stepper.call
        if call is None:
            return True
        self.stepper.step()
        changed = self.changes()
        if self.stop_at_nan and self.nan is None and self.stepper.born(call):
            self.nan = call
            self.say("the first NaN:", *str(self.stepper.error(call)).split("\n"))
            return True
        return changed or self.stepper.call is None

    def changes(self) -> bool:
        """Tell of watched expressions that have another value now."""
        found = False
        for expression, before in self.watched.items():
            now = self.text(expression)
            if now != before:
                self.watched[expression] = now
                self.say(f"{expression} was {before}", f"{expression} is  {now}")
                found = True
        return found

    def do_step(self, arg: str) -> None:
        """s(tep) [count]: run the next call, or so many."""
        for _ in range(int(arg or 1)):
            if self.forward():
                break
        self.show()

    def do_next(self, arg: str) -> None:
        """n(ext): run all calls of this line."""
        line = self.stepper.line
        while self.stepper.call is not None and self.stepper.line == line:
            if self.forward():
                break
        self.show()

    def do_continue(self, arg: str) -> None:
        """c(ontinue): run to a breakpoint, a watched value that changes, or the first NaN."""
        while not self.forward():
            if self.at_break():
                break
        self.show()

    def do_quit(self, arg: str) -> None:
        """q(uit): leave; the program has written nothing."""
        self.quitting = True

    # ---- where to stop

    def do_break(self, arg: str) -> None:
        """b(reak) [LINE | FILE:LINE | OP]: stop before the calls of a line, or of an operation."""
        if not arg:
            self.say(*(f"{n + 1}: {text}" for n, text in enumerate(self.breaks)))
        elif not any(self.matches(call, arg) for call in self.stepper.graph.calls):
            names = sorted({call.op.name for call in self.stepper.graph.calls})
            self.say(f"no call is of {arg}; the operations are {', '.join(names)}")
        else:
            self.breaks.append(arg)
            self.say(f"breakpoint {len(self.breaks)} at {arg}")

    def do_clear(self, arg: str) -> None:
        """cl(ear) [NUMBER]: forget a breakpoint, or all."""
        if arg:
            del self.breaks[int(arg) - 1 : int(arg)]
        else:
            self.breaks.clear()

    def at_break(self) -> bool:
        call = self.stepper.call
        return call is not None and any(self.matches(call, text) for text in self.breaks)

    @staticmethod
    def matches(call: Call, text: str) -> bool:
        place = _place(call)
        name, _, line = text.rpartition(":")
        if line.isdigit():
            return place is not None and place[1] == int(line) and place[0].endswith(name)
        return bool(call.op.name == text)

    def do_watch(self, arg: str) -> None:
        """watch [EXPRESSION]: stop when its value becomes another; alone, list what is watched."""
        if arg:
            self.watched[arg] = self.text(arg)
        self.say(*(f"{name} is {text}" for name, text in self.watched.items()))

    def do_unwatch(self, arg: str) -> None:
        """unwatch [EXPRESSION]: forget it, or all."""
        if arg:
            self.watched.pop(arg, None)
        else:
            self.watched.clear()

    def do_nan(self, arg: str) -> None:
        """nan [on | off]: whether to stop where the first NaN is made."""
        if arg:
            self.stop_at_nan = arg != "off"
        self.say(f"stop at the first NaN: {'on' if self.stop_at_nan else 'off'}")

    # ---- looking

    def show(self) -> None:
        """Where the program stands."""
        call = self.stepper.call
        self.listed = 0
        if call is None:
            self.say("the program is at its end")
            return
        path = ".".join(call.module)
        self.say(f"> {line_of(call.where)}{f'    in {path}' if path else ''}")
        self.say(f"-> {call_text(call, self.stepper.names)}")

    def do_where(self, arg: str) -> None:
        """w(here): the next call, its line, its module, and how far the program is."""
        self.say(f"call {self.stepper.at} of {len(self.stepper.graph.calls)}")
        self.show()

    def do_list(self, arg: str) -> None:
        """l(ist) [LINE]: the user's source around the next call; again for what follows."""
        place = _place(self.stepper.call)
        if place is None:
            self.say("no line is known")
            return
        path, here = place
        first = int(arg) if arg else self.listed or max(1, here - CONTEXT)
        self.listed = first + 2 * CONTEXT + 1
        for number in range(first, self.listed):
            text = linecache.getline(path, number).rstrip()
            if linecache.getline(path, number):
                mark = "->" if number == here else "B " if self.breaks_at(path, number) else "  "
                self.say(f"{number:4} {mark} {text}")

    def breaks_at(self, path: str, line: int) -> bool:
        return any(text in (str(line), f"{short_path(path)}:{line}") for text in self.breaks)

    def do_graph(self, arg: str) -> None:
        """graph: the text of the program, with lines."""
        self.say(as_text(self.stepper.graph, lines=True))

    def do_args(self, arg: str) -> None:
        """a(rgs): the program's inputs, with their statistics."""
        for given in self.stepper.graph.inputs:
            array = self.stepper.known[given.value]
            self.say(f"{self.stepper.names[given.value]} = {statistics(array)}")

    def do_stats(self, arg: str) -> None:
        """stats NAME ...: extremes, mean, NaN and infinities of values."""
        for name in arg.split() or self.inputs_of_call():
            try:
                array = self.stepper.find(name)
            except TwofoldError as error:
                self.say(f"*** {error.problem}")
                continue
            self.say(f"{name} = {'not computed yet' if array is None else statistics(array)}")

    def inputs_of_call(self) -> list[str]:
        call = self.stepper.call
        return [self.stepper.names[v] for v in call.inputs] if call else []

    def do_p(self, arg: str) -> None:
        """p EXPRESSION: its value. Values of the graph are tensors: p %3, p x.sum(), p %3[0] - x"""
        self.say(self.text(arg))

    def text(self, expression: str) -> str:
        """The value of an expression, or what is wrong with it, as text."""
        names: dict[str, Any] = {"np": np}
        for value, name in self.stepper.names.items():
            if value in self.stepper.known:
                names[name.replace("%", "_value_")] = wrap(self.stepper.known[value])
        code = NUMBERED.sub(r"_value_\1", expression)
        try:
            return repr(eval(code, names))
        except NameError as error:
            missing = str(error.name).replace("_value_", "%")
            known = missing in self.stepper.names.values()
            return f"*** {missing} is {'not computed yet' if known else 'unknown'}"
        except Exception as error:  # whatever the user's expression does
            return f"*** {type(error).__name__}: {error}"

    do_s, do_n, do_c, do_q, do_b, do_cl = do_step, do_next, do_continue, do_quit, do_break, do_clear
    do_w, do_l, do_a, do_bt, do_cont = do_where, do_list, do_args, do_where, do_continue


def _place(call: Call | None) -> tuple[str, int] | None:
    """The file and the line of a call."""
    if call is None or call.where is None:
        return None
    code: CodeType = call.where[0]
    for start, end, line in code.co_lines():
        if start <= call.where[1] < end and line is not None:
            return code.co_filename, line
    return code.co_filename, code.co_firstlineno
