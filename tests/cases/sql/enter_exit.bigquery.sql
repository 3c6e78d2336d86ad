-- segment: behavior_cart_abandon
-- enter: product_added then no order_completed within 30 minutes, restarting on product_removed
-- exit: order_completed, or 7 days after entering
WITH RECURSIVE history AS (
  SELECT
    e.person_id,
    e.event,
    e.time_ms,
    ROW_NUMBER() OVER (PARTITION BY e.person_id ORDER BY e.time_ms, e.source_order, e.position) AS seq
  FROM events AS e
  WHERE
    e.time_ms <= 1795521600000
    AND e.event IN ('order_completed', 'product_added', 'product_removed')
), people AS (
  SELECT DISTINCT
    h.person_id
  FROM history AS h
), changes_1 AS (
  SELECT DISTINCT
    h.person_id,
    h.time_ms + 1800000 AS time_ms
  FROM history AS h
  WHERE
    h.event = 'product_added' OR h.event = 'product_removed'
), moments_1 AS (
  SELECT
    h.person_id,
    h.time_ms
  FROM (
    SELECT
      h.person_id,
      h.time_ms
    FROM changes_1 AS h
    UNION DISTINCT
    SELECT
      h.person_id,
      h.time_ms + 604800000 AS time_ms
    FROM changes_1 AS h
    UNION DISTINCT
    SELECT
      h.person_id,
      h.time_ms + 604800000 AS time_ms
    FROM history AS h
  ) AS h
  WHERE
    h.time_ms <= 1795521600000
), steps_1 AS (
  SELECT
    s.person_id,
    s.now_ms,
    s.upto,
    s.by_time,
    s.exits,
    ROW_NUMBER() OVER (PARTITION BY s.person_id ORDER BY s.now_ms, s.upto) AS step
  FROM (
    SELECT
      m.person_id,
      m.time_ms AS now_ms,
      COUNT(h.seq) AS upto,
      1 AS by_time,
      0 AS exits
    FROM moments_1 AS m
    LEFT JOIN history AS h
      ON h.person_id = m.person_id AND h.time_ms < m.time_ms
    GROUP BY
      m.person_id,
      m.time_ms
    UNION ALL
    SELECT
      h.person_id,
      h.time_ms,
      h.seq,
      0,
      CASE WHEN h.event = 'order_completed' THEN 1 ELSE 0 END
    FROM history AS h
  ) AS s
), starts_1 AS (
  SELECT
    p.person_id,
    0 AS step,
    0 AS since
  FROM people AS p
  UNION ALL
  SELECT
    s.person_id,
    s.step,
    s.upto
  FROM steps_1 AS s
  WHERE
    s.exits = 1 OR s.by_time = 1
), places_1 AS (
  SELECT
    s.person_id,
    b.since,
    s.step,
    s.now_ms,
    s.upto
  FROM (
    SELECT DISTINCT
      b.person_id,
      b.since
    FROM starts_1 AS b
  ) AS b
  JOIN steps_1 AS s
    ON s.person_id = b.person_id AND s.upto >= b.since
), matches_1 AS (
  SELECT
    h.person_id,
    h.opened_seq AS opened_seq,
    h.time_ms + 1800000 AS time_ms,
    h.taken_back_seq
  FROM (
    SELECT
      h.*,
      MAX(
        CASE
          WHEN h.opens = 0
          AND (
            h.closes = 1 OR h.previous_ms IS NULL OR h.time_ms - h.previous_ms >= 1800000
          )
          THEN h.seq
        END
      ) OVER (
        PARTITION BY h.person_id
        ORDER BY h.seq
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      ) AS dead_end_seq
    FROM (
      SELECT
        h.*,
        LEAD(h.time_ms) OVER (PARTITION BY h.person_id ORDER BY h.seq) AS next_ms,
        MIN(CASE WHEN h.closes = 1 THEN h.seq END) OVER (
          PARTITION BY h.person_id
          ORDER BY h.seq
          ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
        ) AS taken_back_seq,
        MAX(CASE WHEN h.opens = 1 THEN h.seq END) OVER (
          PARTITION BY h.person_id
          ORDER BY h.seq
          ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS opened_seq,
        LAG(h.time_ms) OVER (PARTITION BY h.person_id ORDER BY h.seq) AS previous_ms
      FROM (
        SELECT
          h.person_id,
          h.seq,
          h.time_ms,
          CASE WHEN h.event = 'product_added' THEN 1 ELSE 0 END AS opens,
          CASE WHEN h.event = 'order_completed' THEN 1 ELSE 0 END AS closes
        FROM history AS h
        WHERE
          h.event = 'product_added'
          OR h.event = 'order_completed'
          OR h.event = 'product_removed'
      ) AS h
    ) AS h
  ) AS h
  WHERE
    h.opened_seq > COALESCE(h.dead_end_seq, 0)
    AND (
      h.next_ms IS NULL OR h.next_ms >= h.time_ms + 1800000
    )
), absence_1 AS (
  SELECT
    f.person_id,
    f.since,
    f.step,
    MAX(h.time_ms) AS time_ms
  FROM matches_1 AS h
  JOIN places_1 AS f
    ON h.person_id = f.person_id AND h.opened_seq > f.since
  WHERE
    h.time_ms <= f.now_ms
    AND (
      h.taken_back_seq IS NULL OR h.taken_back_seq > f.upto
    )
  GROUP BY
    f.person_id,
    f.since,
    f.step
), truths_1 AS (
  SELECT
    f.person_id,
    f.since,
    f.step,
    CASE WHEN NOT absence_1.time_ms IS NULL THEN 1 ELSE 0 END AS truth
  FROM places_1 AS f
  LEFT JOIN absence_1
    ON f.person_id = absence_1.person_id
    AND f.since = absence_1.since
    AND f.step = absence_1.step
), rises_1 AS (
  SELECT
    t.person_id,
    t.since,
    t.step
  FROM (
    SELECT
      t.person_id,
      t.since,
      t.step,
      t.truth,
      COALESCE(LAG(t.truth) OVER (PARTITION BY t.person_id, t.since ORDER BY t.step), 0) AS was
    FROM truths_1 AS t
  ) AS t
  WHERE
    t.truth = 1 AND t.was = 0
), enters_1 AS (
  SELECT
    b.person_id,
    b.step AS from_step,
    MIN(r.step) AS enter_step
  FROM starts_1 AS b
  JOIN rises_1 AS r
    ON r.person_id = b.person_id AND r.since = b.since AND r.step > b.step
  GROUP BY
    b.person_id,
    b.step
), turns_1 AS (
  SELECT
    e.person_id,
    e.from_step,
    e.enter_step,
    MIN(x.step) AS exit_step
  FROM enters_1 AS e
  JOIN steps_1 AS n
    ON n.person_id = e.person_id AND n.step = e.enter_step
  LEFT JOIN steps_1 AS x
    ON x.person_id = e.person_id
    AND x.step > e.enter_step
    AND (
      x.exits = 1 OR (
        x.by_time = 1 AND x.now_ms >= n.now_ms + 604800000
      )
    )
  GROUP BY
    e.person_id,
    e.from_step,
    e.enter_step
), walk_1 AS (
  SELECT
    t.person_id AS person_id,
    t.enter_step AS enter_step,
    t.exit_step AS exit_step
  FROM turns_1 AS t
  WHERE
    t.from_step = 0
  UNION ALL
  SELECT
    t.person_id,
    t.enter_step,
    t.exit_step
  FROM walk_1 AS w
  JOIN turns_1 AS t
    ON t.person_id = w.person_id AND t.from_step = w.exit_step
), stays_1 AS (
  SELECT
    w.person_id,
    n.now_ms AS enter_ms,
    n.upto AS enter_upto,
    x.now_ms AS exit_ms,
    x.upto AS exit_upto
  FROM walk_1 AS w
  JOIN steps_1 AS n
    ON n.person_id = w.person_id AND n.step = w.enter_step
  LEFT JOIN steps_1 AS x
    ON x.person_id = w.person_id AND x.step = w.exit_step
), behavior_cart_abandon AS (
  SELECT
    w.person_id
  FROM walk_1 AS w
  WHERE
    w.exit_step IS NULL
)
SELECT
  s.person_id
FROM behavior_cart_abandon AS s
