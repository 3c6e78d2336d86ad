"""One tree, five dialects: what sqlglot does not do by itself when it prints."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError

from segue.errors import ConfigError

DIALECTS: Final = ("duckdb", "bigquery", "snowflake", "redshift", "postgres")
AS_OF: Final = "as_of"
"""the name of the parameter"""
SAME: Final = "same"
"""what patterns call the field of `with the same`"""
_REDSHIFT: Final = frozenset(Dialect.get_or_raise("redshift").generator_class.RESERVED_KEYWORDS)
_RESERVED: Final[dict[str, frozenset[str]]] = {
    # sqlglot has no list of these two. Redshift's, which grew out of PostgreSQL's, may quote a word too many there,
    # which means the same; in Snowflake a quoted name is another name
    "postgres": _REDSHIFT | {
        "asymmetric", "collation", "concurrently", "fetch", "lateral", "returning", "symmetric", "variadic", "window",
    },
    "snowflake": frozenset({
        "account", "all", "alter", "and", "any", "as", "between", "by", "case", "cast", "check", "column", "connect",
        "connection", "constraint", "create", "cross", "current", "current_date", "current_time", "current_timestamp",
        "current_user", "database", "delete", "distinct", "drop", "else", "exists", "false", "following", "for", "from",
        "full", "grant", "group", "gscluster", "having", "ilike", "in", "increment", "inner", "insert", "intersect",
        "into", "is", "issue", "join", "lateral", "left", "like", "localtime", "localtimestamp", "minus", "natural",
        "not", "null", "of", "on", "or", "order", "organization", "qualify", "regexp", "revoke", "right", "rlike", "row",
        "rows", "sample", "schema", "select", "set", "some", "start", "table", "tablesample", "then", "to", "trigger",
        "true", "try_cast", "union", "unique", "update", "using", "values", "view", "when", "whenever", "where", "with",
    }),
}  # fmt: skip
_GIVEN: Final = "given"
"""marks a name that is printed as its user wrote it"""
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")
_NAME: Final = ("this", "db", "catalog")
"""what of a table is its name"""
_QUOTES: Final = ('"', "`")


def printed(tree: exp.Query | exp.Create, dialect: str) -> str:
    """The text of a query or statement. The tree is changed on the way. Raises ConfigError for an unknown dialect."""
    check_dialect(dialect)
    for node in list(tree.find_all(exp.Identifier, exp.Ordered, exp.Sum, exp.Placeholder, exp.Window)):
        _fit(node, dialect)
    return tree.sql(dialect=dialect, pretty=True, copy=False)


def check_dialect(dialect: str) -> None:
    """Raises ConfigError for one that is not of DIALECTS."""
    if dialect not in DIALECTS:
        raise ConfigError(f"Rules cannot be printed in the SQL of {dialect!r}.", f"Take one of {', '.join(DIALECTS)}.")


def table_named(text: str, dialect: str) -> exp.Table:
    """A table's name as the dialect writes it: `events`, `analytics.events`. Raises ConfigError."""
    try:
        table = exp.to_table(text, dialect=dialect)
    except SqlglotError:
        table = None
    if table is None or not _is_name(table, text):
        raise ConfigError(f"{text!r} is not the name of a table in {dialect}.", "Write it as in analytics.events.")
    for part in table.parts:
        part.meta[_GIVEN] = True
    return table


def _is_name(table: exp.Table, text: str) -> bool:
    parts = [part for key in _NAME if (part := table.args.get(key))]
    # what sqlglot cannot read it takes for one odd name, as if it had been quoted
    quoted = any(part.args.get("quoted") for part in parts) and not any(q in text for q in _QUOTES)
    more = {key for key, value in table.args.items() if value} - set(_NAME)
    return not (quoted or more or table.comments) and all(isinstance(part, exp.Identifier) for part in parts)


def _fit(node: exp.Expr, dialect: str) -> None:
    """Changes one node into what the dialect needs."""
    rules = Dialect.get_or_raise(dialect)
    match node:
        case exp.Identifier():
            reserved = _RESERVED.get(dialect, rules.generator_class.RESERVED_KEYWORDS)
            if _GIVEN not in node.meta and (not _PLAIN.fullmatch(node.name) or node.name in reserved):
                node.set("quoted", True)
        case exp.Ordered():
            # nothing that is ordered by is ever null: no NULLS FIRST or LAST
            newest_first = bool(node.args.get("desc"))
            default = {"nulls_are_small": not newest_first, "nulls_are_large": newest_first}
            node.set("nulls_first", default.get(rules.NULL_ORDERING, False))
        case exp.Sum() if dialect == "duckdb":  # sums are of doubles, always
            node.replace(exp.Anonymous(this="FSUM", expressions=[node.this]))
        case exp.Placeholder() if dialect in ("postgres", "redshift"):
            # sqlglot would write %(as_of)s, for which every % in a text had to be doubled
            node.replace(exp.var(f":{node.name}"))
        case exp.Window() if dialect == "bigquery":
            for part in node.args["partition_by"]:
                if part.name == SAME:  # which may be a FLOAT64, by which BigQuery does not partition
                    part.replace(exp.cast(part.copy(), "text"))
