"""Every small change that could be made to a source, each by replacing one stretch of its text.

The operators are those that mutation testing has long used (DeMillo, Lipton and Sayward, "Hints on
test data selection", 1978): boundaries, constants, boolean operators, removed statements, swapped
arguments and branches. Left alone is what no test could be asked to see: docstrings, annotations,
messages of exceptions, assertions, `__slots__`, and how objects look when printed.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Final, final

COMPARISONS: Final = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC: Final = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
    ast.Mod: ("%", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
}
NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
UNSEEN_FUNCTIONS: Final = ("__repr__", "__str__", "__hash__")
_NOT_COVERED: Final = "pragma: no cover"


@final
@dataclass(frozen=True, kw_only=True)
class Mutation:
    """The text from `start` to `end` becomes `new`. `within` is the function or class it is in."""

    operator: str
    within: str
    line: int
    start: int
    end: int
    new: str

    def applied_to(self, text: str) -> str:
        """The mutated source."""
        return text[: self.start] + self.new + text[self.end :]

    def shown(self, text: str) -> tuple[str, str]:
        """The line before and after, each on one line."""
        first = text.rfind("\n", 0, self.start) + 1
        last = text.find("\n", self.end)
        last = len(text) if last < 0 else last
        after = text[first : self.start] + self.new + text[self.end : last]
        return " ".join(text[first:last].split()), " ".join(after.split())


def mutations_of(text: str) -> list[Mutation]:
    """Every mutation of a source, in its order. Ask `is_a_change` of those that are to be run."""
    found = set(_Finder(text).found)
    return sorted(found, key=lambda each: (each.start, each.end, each.operator, each.new))


def is_a_change(text: str, mutation: Mutation) -> bool:
    """Whether the mutated source can be run, and is another program."""
    line = text[text.rfind("\n", 0, mutation.start) + 1 : text.find("\n", mutation.end)]
    if _NOT_COVERED in line:
        return False
    try:
        mutated = ast.parse(mutation.applied_to(text))
    except SyntaxError:
        return False
    return ast.dump(mutated) != ast.dump(ast.parse(text))


@final
class _Finder(ast.NodeVisitor):
    def __init__(self, text: str) -> None:
        self.found: list[Mutation] = []
        self._text = text
        self._within: list[str] = []
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._starts = starts
        self._lines = text.splitlines(keepends=True)
        self.visit(ast.parse(text))

    # places

    def _offset(self, line: int, column_bytes: int) -> int:
        start = self._starts[line - 1]
        if self._lines[line - 1].isascii():
            return start + column_bytes
        return start + len(self._lines[line - 1].encode()[:column_bytes].decode())

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._offset(node.lineno, node.col_offset)

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.end_lineno, node.end_col_offset)

    def _source(self, node: ast.expr | ast.stmt) -> str:
        return self._text[self._start(node) : self._end(node)]

    def _add(self, operator: str, line: int, start: int, end: int, new: str) -> None:
        self.found.append(
            Mutation(
                operator=operator,
                within=".".join(self._within),
                line=line,
                start=start,
                end=end,
                new=new,
            )
        )

    def _replace(self, operator: str, node: ast.expr | ast.stmt, new: str) -> None:
        self._add(operator, node.lineno, self._start(node), self._end(node), new)

    def _between(self, operator: str, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        """Replace the operator that stands between two operands."""
        start, end = self._end(left), self._start(right)
        words = re.escape(old).replace(r"\ ", r"\s+")
        pattern = rf"\b{words}\b" if old[0].isalpha() else words
        match = re.search(pattern, self._text[start:end])
        if match is not None:
            at = start + match.start()
            self._add(operator, left.lineno, at, start + match.end(), new)

    # what is left alone

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in UNSEEN_FUNCTIONS:
            return
        self._within.append(node.name)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        self._visit_block(node.body)
        self._within.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within.append(node.name)
        self._visit_block(node.body)
        self._within.pop()

    def visit_Module(self, node: ast.Module) -> None:
        self._visit_block(node.body)

    def _visit_block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not is_text:
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        is_alias = "TypeAlias" in self._source(node.annotation)
        if node.value is not None and not is_alias:
            self._remove_if_seen(node, [node.target])
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """An assertion says what cannot be."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts with values in them are messages."""

    def visit_Import(self, node: ast.Import) -> None:
        """Nothing to change."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Nothing to change."""

    def visit_Raise(self, node: ast.Raise) -> None:
        if node.exc is not None:
            self._replace("remove raise", node, "pass")

    # statements

    def visit_Assign(self, node: ast.Assign) -> None:
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        if "__slots__" in names or self._is_type_variable(node.value):
            return
        self._remove_if_seen(node, node.targets)
        self.visit(node.value)

    def _is_type_variable(self, value: ast.expr) -> bool:
        return isinstance(value, ast.Call) and self._source(value.func) in ("TypeVar", "NewType")

    def _remove_if_seen(self, node: ast.stmt, targets: list[ast.expr]) -> None:
        """Without it a local name would be unbound, which every test sees; the rest may not be."""
        if self._within and all(
            isinstance(each, ast.Attribute | ast.Subscript) for each in targets
        ):
            self._replace("remove assignment", node, "pass")

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace("remove assignment", node, "pass")
        change = ARITHMETIC.get(type(node.op))
        if change is not None:
            self._between("arithmetic", node.target, node.value, f"{change[0]}=", f"{change[1]}=")
        self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._replace("remove statement", node, "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        if self._within and not isinstance(node.value, ast.Constant):
            self._replace("remove statement", node, "pass")
        self.visit(node.value)

    def visit_Break(self, node: ast.Break) -> None:
        self._replace("break or continue", node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace("break or continue", node, "break")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self._replace("remove statement", node, "pass")
            return
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        if not is_none:
            self._replace("return nothing", node, "return None")
        self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if self._source(node.test) == "TYPE_CHECKING":
            return
        self._negate(node.test)
        self.visit(node.test)
        self._visit_block(node.body)
        self._visit_block(node.orelse)

    def visit_While(self, node: ast.While) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        is_simple = isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.BoolOp)
        if is_simple:
            self._replace("negate condition", test, f"not ({self._source(test)})")

    # expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        left = node.left
        for operation, right in zip(node.ops, node.comparators, strict=True):
            old, new = COMPARISONS[type(operation)]
            self._between("comparison", left, right, old, new)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between("boolean operator", left, right, old, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace("delete not", node, f"({self._source(node.operand)})")
        elif isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            self._replace("delete minus", node, f"({self._source(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        change = ARITHMETIC.get(type(node.op))
        # Types are joined by the same sign.
        if change is not None and not self._is_union(node):
            self._between("arithmetic", node.left, node.right, *change)
        self.generic_visit(node)

    def _is_union(self, node: ast.BinOp) -> bool:
        return isinstance(node.op, ast.BitOr) and any(
            (isinstance(side, ast.Name) and side.id[0].isupper())
            or (isinstance(side, ast.Name) and side.id in ("str", "int", "bytes", "list", "dict"))
            or (isinstance(side, ast.Constant) and side.value is None)
            or (isinstance(side, ast.Attribute) and side.attr[0].isupper())
            for side in (node.left, node.right)
        )

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if value is True or value is False:
            self._replace("constant", node, str(not value))
        elif isinstance(value, int):
            self._replace("constant", node, str(value + 1))
            if value > 0:
                self._replace("constant", node, str(value - 1))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in NAMES:
            self._replace("function", node.func, NAMES[name])
        arguments = node.args
        if len(arguments) >= 2 and not any(isinstance(each, ast.Starred) for each in arguments):
            first, second = arguments[0], arguments[1]
            between = self._text[self._end(first) : self._start(second)]
            new = self._source(second) + between + self._source(first)
            self._add("swap arguments", node.lineno, self._start(first), self._end(second), new)
        self.generic_visit(node)
