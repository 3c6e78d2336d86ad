"""The rules as SQL over a table of events: the same meaning, for a warehouse that has the whole history.

membership   the two functions: who is in, and the table this is asked of
conditions   truths of conditions; leaves and patterns are their relations, windows and filters what these look at
stays        segments of enter and exit, which remember
frames       from where leaves look
needs        what of the table a rule reads; statement, terms: how a query is put together; table: the contract
dialects     how it is printed
"""

from segue.warehouse.dialects import DIALECTS
from segue.warehouse.membership import create_table_sql, membership_sql
from segue.warehouse.table import WarehouseUnsupported

__all__ = ["DIALECTS", "WarehouseUnsupported", "create_table_sql", "membership_sql"]
