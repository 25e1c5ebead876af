"""The fixed list: at least one bug for each known trap whose feature exists."""

from __future__ import annotations

from tests.mutation.mutant import Mutant
from tests.mutation.mutants_authority import AUTHORITY
from tests.mutation.mutants_convergence import CONVERGENCE
from tests.mutation.mutants_durability import DURABILITY
from tests.mutation.mutants_load import LOAD
from tests.mutation.mutants_operations import OPERATIONS

LISTED: tuple[Mutant, ...] = (*AUTHORITY, *CONVERGENCE, *DURABILITY, *LOAD, *OPERATIONS)
