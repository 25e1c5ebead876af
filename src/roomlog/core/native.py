"""What the compiler may assume about a class; without the compiler it means nothing.

`native(acyclic=True)` says that no object of a class can be part of a reference cycle, so the
garbage collector need not visit it: a room holds millions of such small objects.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as native
else:

    def native(**_attributes):
        """Leave the class as it is."""

        def unchanged(cls):
            return cls

        return unchanged


__all__ = ["native"]
