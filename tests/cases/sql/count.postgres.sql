-- segment: behavior_electronics_viewer
-- when: count(product_viewed where category = "electronics") >= 3 in the last 30 days
WITH history AS (
  SELECT
    e.person_id,
    e.event,
    e.time_ms,
    ROW_NUMBER() OVER (PARTITION BY e.person_id ORDER BY e.time_ms, e.source_order, e.position) AS seq,
    e.category
  FROM events AS e
  WHERE
    e.time_ms <= CAST(:as_of AS BIGINT) AND e.event = 'product_viewed'
), people AS (
  SELECT DISTINCT
    h.person_id
  FROM history AS h
), count_1 AS (
  SELECT
    h.person_id,
    COUNT(*) AS n
  FROM history AS h
  WHERE
    h.category = 'electronics' AND h.time_ms > CAST(:as_of AS BIGINT) - 2592000000
  GROUP BY
    h.person_id
), behavior_electronics_viewer AS (
  SELECT
    f.person_id
  FROM people AS f
  LEFT JOIN count_1
    ON f.person_id = count_1.person_id
  WHERE
    COALESCE(count_1.n, 0) >= 3
)
SELECT
  s.person_id
FROM behavior_electronics_viewer AS s
