-- segment: behavior_product_abandoned
-- when: product_added then no order_completed within 1 day with the same product_id in the last 6 days
WITH history AS (
  SELECT
    e.person_id,
    e.event,
    e.time_ms,
    ROW_NUMBER() OVER (PARTITION BY e.person_id ORDER BY e.time_ms, e.source_order, e.position) AS seq,
    e.product_id
  FROM events AS e
  WHERE
    e.time_ms <= CAST(:as_of AS BIGINT)
    AND e.event IN ('order_completed', 'product_added')
), people AS (
  SELECT DISTINCT
    h.person_id
  FROM history AS h
), matches_1 AS (
  SELECT
    h.person_id,
    h.seq AS opened_seq,
    h.time_ms + 86400000 AS time_ms,
    h.taken_back_seq
  FROM (
    SELECT
      h.*,
      LEAD(h.time_ms) OVER (PARTITION BY h.person_id, h.same ORDER BY h.seq) AS next_ms,
      MIN(CASE WHEN h.closes = 1 THEN h.seq END) OVER (
        PARTITION BY h.person_id, h.same
        ORDER BY h.seq
        ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
      ) AS taken_back_seq
    FROM (
      SELECT
        h.person_id,
        h.seq,
        h.time_ms,
        CASE WHEN h.event = 'product_added' THEN 1 ELSE 0 END AS opens,
        CASE WHEN h.event = 'order_completed' THEN 1 ELSE 0 END AS closes,
        h.product_id AS same
      FROM history AS h
      WHERE
        (
          h.event = 'product_added' OR h.event = 'order_completed'
        )
        AND NOT h.product_id IS NULL
    ) AS h
  ) AS h
  WHERE
    h.opens = 1 AND (
      h.next_ms IS NULL OR h.next_ms >= h.time_ms + 86400000
    )
), absence_1 AS (
  SELECT
    h.person_id,
    MAX(h.time_ms) AS time_ms
  FROM matches_1 AS h
  WHERE
    h.time_ms <= CAST(:as_of AS BIGINT) AND h.taken_back_seq IS NULL
  GROUP BY
    h.person_id
), behavior_product_abandoned AS (
  SELECT
    f.person_id
  FROM people AS f
  LEFT JOIN absence_1
    ON f.person_id = absence_1.person_id
  WHERE
    COALESCE(absence_1.time_ms > CAST(:as_of AS BIGINT) - 518400000, FALSE)
)
SELECT
  s.person_id
FROM behavior_product_abandoned AS s
