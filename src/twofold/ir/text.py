"""Read the canonical text of Loops back. Floor 2. parse(str(module)) == module.

    module "scale"
    extern posix_memalign(ptr, i64, i64) -> i32
    data heads: ptr[256]
    table coefficients: f32 = [1.0, 0.5]

    function scale(%x: ptr, %n: i64, %by: f32) -> void {
      loop %v1 from i64 0 to %n step i64 1 {
        %v2: ptr = at %x, %v1 element=f32
        %v3: f32 = load %v2 align=4
        %v4: f32 = mul %v3, %by
        store %v4, %v2 align=4
      }
      return
    }

One statement is one line. A name is %value, $variable or @symbol; a literal has its type before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, final

from twofold.ir import loops
from twofold.ir.loops import ATTRS, LoopsError, Operand

_TOKEN = re.compile(
    r'\s*("[^"]*"|->|\.\.\.|[%$@]?[\w.]*\w(?:(?<=[0-9]e)[+-][0-9]+)?|-[\w.]+(?:(?<=[0-9]e)[+-][0-9]+)?'
    r"|[][(){},:=])"
)
_STATEMENTS = ("var", "loop", "while", "break", "continue", "if", "switch", "return")


def parse(text: str) -> loops.Module:
    """The module that prints as `text`. Raises LoopsError naming the line that is no Loops."""
    return _Reader(text).module()


@final
class _Line:
    """The words of one line and how far they are read."""

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self.text = text
        self.words: list[str] = []
        self.at = 0
        end = 0
        while text[end:].strip():
            match = _TOKEN.match(text, end)
            if match is None:
                raise self.wrong(f"no word begins with {text[end:].strip()[:1]!r}")
            self.words.append(match[1])
            end = match.end()

    def wrong(self, problem: str) -> LoopsError:
        return LoopsError("parse", problem, line=self.number, text=self.text.strip())

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.words[place] if place < len(self.words) else ""

    def take(self, *wanted: str) -> str:
        """The next word; each of `wanted` in turn, where they are given."""
        for word in wanted or (self.peek(),):
            if self.peek() != word or not word:
                found = self.peek() or "the end of the line"
                raise self.wrong(f"expected {' '.join(wanted) or 'a word'}, found {found}")
            self.at += 1
        return self.words[self.at - 1]

    def skip(self, word: str) -> bool:
        if self.peek() != word:
            return False
        self.at += 1
        return True

    def end(self) -> None:
        if self.at < len(self.words):
            raise self.wrong(f"nothing should follow {self.words[self.at - 1]}")

    def several(self, close: str, read: Callable[[], Any]) -> list[Any]:
        """What `read` gives, with commas between, up to the closing bracket."""
        found: list[Any] = []
        while not self.skip(close):
            if found:
                self.take(",")
            found.append(read())
        return found

    def number_word(self) -> int:
        word = self.take()
        try:
            return int(word)
        except ValueError:
            raise self.wrong(f"{word} is no whole number") from None


@final
class _Reader:
    """A module being read, line by line."""

    def __init__(self, text: str) -> None:
        lines = [_Line(n, line) for n, line in enumerate(text.splitlines(), 1)]
        self.lines = [line for line in lines if line.words]
        self.at = 0
        self.types: dict[str, str] = {}  # of the values and variables of the function being read

    def next(self) -> _Line:
        if self.at == len(self.lines):
            raise LoopsError("parse", "the text ends in the middle of a block")
        self.at += 1
        return self.lines[self.at - 1]

    # ---- the module

    def module(self) -> loops.Module:
        line = self.next()
        line.take("module")
        name = line.take().strip('"')
        line.end()
        parts: dict[str, list[Any]] = {"extern": [], "data": [], "table": [], "function": []}
        while self.at < len(self.lines):
            line = self.next()
            word = line.take()
            if word not in parts:
                raise line.wrong(f"expected {', '.join(parts)}, found {word}")
            parts[word].append(getattr(self, f"_{word}")(line))
        return loops.Module(name, *(tuple(part) for part in parts.values()))

    def _extern(self, line: _Line) -> loops.Extern:
        name = line.take()
        line.take("(")
        params = line.several(")", line.take)
        line.take("->")
        variadic = bool(params) and params[-1] == "..."
        extern = loops.Extern(
            name, line.take(), tuple(params[:-1] if variadic else params), variadic
        )
        line.end()
        return extern

    def _data(self, line: _Line) -> loops.Data:
        name = line.take()
        line.take(":")
        type = line.take()
        line.take("[")
        size = line.number_word()
        line.take("]")
        line.end()
        return loops.Data(name, type, size)

    def _table(self, line: _Line) -> loops.Table:
        name = line.take()
        line.take(":")
        type = line.take()
        line.take("=", "[")
        values = line.several("]", line.take)
        line.end()
        return loops.Table(name, type, tuple(values))

    def _function(self, line: _Line) -> loops.Function:
        self.types = {}
        name = line.take()
        line.take("(")
        params = line.several(")", lambda: self._definition(line))
        line.take("->")
        result = line.take()
        internal = line.skip("internal")
        inline = "auto"
        if line.skip("inline"):
            line.take("=")
            inline = line.take()
        noalias = line.skip("noalias")
        body = self._block(line)
        return loops.Function(name, tuple(params), result, body, internal, inline, noalias)

    # ---- statements

    def _block(self, line: _Line) -> loops.Body:
        """The statements after `{` at the end of this line, up to the line `}`."""
        line.take("{")
        line.end()
        statements: list[loops.Statement] = []
        while True:
            line = self.next()
            if line.skip("}"):
                line.end()
                return tuple(statements)
            statements.append(self._statement(line))

    def _statement(self, line: _Line) -> loops.Statement:
        word = line.peek()
        if word in _STATEMENTS:
            line.take()
            statement: loops.Statement = getattr(self, f"_{word}")(line)
            return statement
        if line.peek(1) != ":":
            return loops.Do(*self._operation(line))
        result = self._definition(line)
        line.take("=")
        return loops.Let(result, *self._operation(line))

    def _operation(self, line: _Line) -> tuple[str, tuple[Operand, ...], tuple[Any, ...]]:
        op = line.take()
        args = []
        if line.peek() and line.peek(1) != "=":
            args.append(self._operand(line))
        while line.skip(","):
            args.append(self._operand(line))
        given = {}
        while line.peek():
            name = line.take()
            line.take("=")
            given[name] = self._attr(line)
        names = ATTRS.get(op, ())
        for name in given:
            if name not in names:
                raise line.wrong(f"{op} has no attribute {name}")
        return op, tuple(args), tuple(given.get(name) for name in names)

    def _attr(self, line: _Line) -> Any:
        if line.skip("["):
            return tuple(line.several("]", lambda: self._attr(line)))
        word = line.take()
        return int(word) if re.fullmatch(r"-?\d+", word) else word

    def _var(self, line: _Line) -> loops.Var:
        place = self._definition(line)
        init = self._operand(line) if line.skip("=") else None
        line.end()
        return loops.Var(place, init)

    def _loop(self, line: _Line) -> loops.Loop:
        counter = self._define(line, line.take(), "i64")
        line.take("from")
        low = self._operand(line)
        line.take("to")
        high = self._operand(line)
        line.take("step")
        step = self._operand(line)
        return loops.Loop(counter, low, high, step, self._block(line))

    def _while(self, line: _Line) -> loops.While:
        return loops.While(self._block(line))

    def _break(self, line: _Line) -> loops.Break:
        return loops.Break(self._last(line))

    def _continue(self, line: _Line) -> loops.Continue:
        return loops.Continue(self._last(line))

    def _if(self, line: _Line) -> loops.If:
        condition = self._operand(line)
        then = self._block(line)
        otherwise: loops.Body = ()
        if self.at < len(self.lines) and self.lines[self.at].peek() == "else":
            line = self.next()
            line.take("else")
            otherwise = self._block(line)
        return loops.If(condition, then, otherwise)

    def _switch(self, line: _Line) -> loops.Switch:
        value = self._operand(line)
        line.take("{")
        line.end()
        cases = []
        line = self.next()
        while line.skip("case"):
            number = line.number_word()
            cases.append((number, self._block(line)))
            line = self.next()
        line.take("default")
        default = self._block(line)
        line = self.next()
        line.take("}")
        line.end()
        return loops.Switch(value, tuple(cases), default)

    def _return(self, line: _Line) -> loops.Return:
        return loops.Return(self._last(line) if line.peek() else None)

    # ---- operands

    def _definition(self, line: _Line) -> Operand:
        name = line.take()
        line.take(":")
        return self._define(line, name, line.take())

    def _define(self, line: _Line, name: str, type: str) -> Operand:
        if name in self.types:
            raise line.wrong(f"{name} is defined twice")
        self.types[name] = type
        return Operand(type, name)

    def _operand(self, line: _Line) -> Operand:
        word = line.take()
        if word[0] == "@":
            return Operand("ptr", word)
        if word[0] in "%$":
            if word not in self.types:
                raise line.wrong(f"{word} is not defined before")
            return Operand(self.types[word], word)
        if line.skip("["):
            return Operand(word, f"[{', '.join(line.several(']', line.take))}]")
        return Operand(word, line.take())

    def _last(self, line: _Line) -> Operand:
        operand = self._operand(line)
        line.end()
        return operand
